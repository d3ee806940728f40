// A Durable Object that answers with what the Python Worker answers: the runtime of 2024 has no Python
// ones. TEST ONLY.

export class Streams {
  constructor(_state, env) {
    this.env = env;
  }

  async fetch(request) {
    return await this.env.PYTHON.fetch(request);
  }
}

export default {};

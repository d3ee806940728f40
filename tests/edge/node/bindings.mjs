// The current Pyodide in Node before the simulators' bindings: node bindings.mjs < ORDERS.json
//
// ORDERS: {"options": Miniflare's, "modules": [{path, contents}]} in one line. Answers the test door
// (tests/edge/inside/door.py) at the {"url": …} that it prints, and ends when its stdin does.
// No workerd runs the Python here: the bindings are the ones that Miniflare hands to Node.

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Log, LogLevel, Miniflare } from "miniflare";
import { loadPyodide } from "pyodide";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { options, modules } = JSON.parse((await lines.next()).value);

const miniflare = new Miniflare({
  modules: true,
  script: "export default { fetch: () => new Response() }",
  log: new Log(LogLevel.ERROR),
  cf: false,
  ...options,
});
const env = await miniflare.getBindings();

const pyodide = await loadPyodide();
for (const { path, contents } of modules) {
  pyodide.FS.mkdirTree(`/bundle/${path}`.replace(/\/[^/]*$/, ""));
  pyodide.FS.writeFile(`/bundle/${path}`, contents);
}
pyodide.runPython("import sys; sys.path.insert(0, '/bundle')");
const answer = pyodide.runPython(`
from tests.edge.inside import door
from worker import interop

async def answer(call, env):
    return interop.buffer(await door.answer(interop.to_bytes(call), env))

answer`);

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    response.end(await answer(new Uint8Array(Buffer.concat(chunks)), env));
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});
server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}/` }));
});
await lines.next();
server.close();
await miniflare.dispose();
process.exit(0);

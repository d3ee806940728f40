// The relay's socket: Protobuf by the schema that the server ships, or JSON.
import protobuf from 'protobufjs';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';

const SCHEMA = fileURLToPath(new URL('../../../worker/relay/relay.proto', import.meta.url));
const root = await protobuf.load(SCHEMA);
const ClientFrame = root.lookupType('edgekeep.relay.v1.ClientFrame');
const ServerFrame = root.lookupType('edgekeep.relay.v1.ServerFrame');
const PATIENCE = 10_000;

const PROTOBUF = {
  name: 'edgekeep.relay.v1',
  encode: (frame) => ClientFrame.encode(ClientFrame.fromObject(frame)).finish(),
  decode: (data) => ServerFrame.toObject(ServerFrame.decode(data), { longs: Number, defaults: true }),
};
// proto3 leaves out what is zero, JSON here does not; bytes are base64 both ways.
const JSON_FRAMES = {
  name: 'edgekeep.relay.v1.json',
  encode: (frame) =>
    JSON.stringify(frame, (_, value) =>
      value?.type === 'Buffer' ? Buffer.from(value.data).toString('base64') : value,
    ),
  decode: (data) =>
    JSON.parse(data.toString(), (name, value) =>
      name === 'id' || name === 'ciphertext' ? Buffer.from(value, 'base64') : value,
    ),
};

export class Socket {
  #waiting = [];
  #frames = [];
  #seq = 0;

  static async open(base, token, { json = false, ack = false } = {}) {
    const frames = json ? JSON_FRAMES : PROTOBUF;
    const url = `${base.replace('http', 'ws')}/ws?token=${token}${ack ? '&ack=1' : ''}`;
    const socket = new Socket(new WebSocket(url, [frames.name]), frames);
    await new Promise((resolve, reject) => socket.ws.once('open', resolve).once('error', reject));
    return socket;
  }

  constructor(ws, frames) {
    this.ws = ws;
    this.frames = frames;
    ws.on('message', (data) => {
      const frame = frames.decode(data);
      const taker = this.#waiting.shift();
      if (taker) taker(frame);
      else this.#frames.push(frame);
    });
  }

  // The next frame.
  async hear() {
    if (this.#frames.length) return this.#frames.shift();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('nothing came')), PATIENCE);
      this.#waiting.push((frame) => (clearTimeout(timer), resolve(frame)));
    });
  }

  // The next frame with the event *name*; what comes before it is passed over.
  async expect(name) {
    for (;;) {
      const frame = await this.hear();
      if (frame.error) throw new Error(`refused: ${JSON.stringify(frame.error)}`);
      if (frame[name]) return frame[name];
    }
  }

  say(action) {
    this.ws.send(this.frames.encode({ seq: ++this.#seq, ...action }));
  }

  async ask(action, answer) {
    this.say(action);
    return this.expect(answer);
  }

  // Everything that waits, oldest first.
  async fetch() {
    this.say({ fetch: {} });
    const messages = [];
    for (;;) {
      const frame = await this.hear();
      if (frame.message) messages.push(frame.message);
      if (frame.fetched) return messages;
      if (frame.error) throw new Error(JSON.stringify(frame.error));
    }
  }

  async close() {
    const closed = new Promise((resolve) => this.ws.once('close', resolve));
    this.ws.close();
    await closed;
  }
}

// Runs durable/edge*.py in current Pyodide against a Durable Object state written in JavaScript:
// `node run.mjs CHECKOUT PYODIDE_FOLDER SCRIPT.py`. TEST ONLY: this state is not Cloudflare's; it
// has Cloudflare's names and kinds of values (null, undefined, ArrayBuffer, promises, Errors), so
// that what crosses between Python and JavaScript is what crosses there.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [checkout, pyodideFolder, script] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(join(pyodideFolder, "pyodide.mjs")).href);
const python = await loadPyodide();

function copy(folder, names) {
  python.FS.mkdirTree(`/session/metadata/${folder}`);
  for (const name of names) {
    python.FS.writeFile(`/session/metadata/${folder}/${name}`, readFileSync(join(checkout, folder, name)));
  }
}
for (const folder of ["durable", "d1_schema"]) {
  copy(folder, readdirSync(join(checkout, folder)).filter((name) => name.endsWith(".py")));
}
copy("worker", ["__init__.py", "interop.py"]);

class SyncKv {
  constructor(values) { this.values = values; }
  get(key) { return structuredClone(this.values.get(key)); }
  put(key, value) { this.values.set(key, structuredClone(value)); }
  delete(key) { return this.values.delete(key); }
  *list({ start, startAfter, end, prefix, reverse, limit } = {}) {
    let keys = [...this.values.keys()].sort();
    keys = keys.filter((key) => (start === undefined || key >= start)
      && (startAfter === undefined || key > startAfter)
      && (end === undefined || key < end)
      && (prefix === undefined || key.startsWith(prefix)));
    if (reverse) keys.reverse();
    for (const key of keys.slice(0, limit)) yield [key, this.values.get(key)];
  }
}

// Answers a statement with what the test planted, and echoes the kinds of its bindings.
class Sql {
  databaseSize = 8192;
  exec(statement, ...bindings) {
    if (statement === "BROKEN") throw new Error('near "BROKEN": syntax error: SQLITE_ERROR');
    const kinds = bindings.map((b) => (b === undefined ? "undefined" : b === null ? "null" : b.constructor.name));
    const rows = statement === "KINDS" ? [kinds] : [[1, 2.5, null, new Uint8Array([0, 255]).buffer, "é"]];
    const columns = statement === "KINDS" ? kinds.map((_, i) => `c${i}`) : ["a", "b", "c", "d", "e"];
    return { columnNames: columns, rowsRead: 1, rowsWritten: 0, raw: () => ({ toArray: () => rows }) };
  }
}

class Storage {
  constructor() { this.values = new Map(); this.kv = new SyncKv(this.values); this.sql = new Sql(); this.alarm = null; }
  async getAlarm() { return this.alarm; }
  async setAlarm(when) {
    if (typeof when !== "number") throw new TypeError("not a number");
    this.alarm = when;
  }
  async deleteAlarm() { this.alarm = null; }
  async deleteAll() { this.values.clear(); this.alarm = null; }
  async sync() {}
  restore(copy) { this.values.clear(); for (const [k, v] of copy) this.values.set(k, v); }
  transactionSync(fn) {
    const copy = new Map(this.values);
    try { return fn(); } catch (error) { this.restore(copy); throw error; }
  }
  async transaction(fn) {
    const copy = new Map(this.values);
    try { return await fn({ rollback: () => this.restore(copy) }); } catch (error) { this.restore(copy); throw error; }
  }
}

class Socket {
  readyState = 1;
  sent = [];
  attachment = null;
  send(message) {
    if (this.readyState > 1) throw new TypeError("Can't call WebSocket send() after close().");
    this.sent.push(message);
  }
  close(code, reason) {
    if (code !== undefined && (code < 1000 || code > 4999 || code === 1005)) {
      const error = new Error(`Invalid WebSocket close code: ${code}.`);
      error.name = "InvalidAccessError";
      throw error;
    }
    this.readyState = 3;
    this.closed = [code, reason];
  }
  serializeAttachment(value) { this.attachment = structuredClone(value); }
  deserializeAttachment() { return this.attachment; }
}

class State {
  constructor(name) {
    this.id = { name, toString: () => "ab".repeat(32) };
    this.storage = new Storage();
    this.sockets = [];
    this.waited = [];
  }
  acceptWebSocket(socket, tags) {
    if (this.sockets.some((s) => s.socket === socket)) throw new Error("accepted before");
    this.sockets.unshift({ socket, tags: [...tags] });
  }
  getWebSockets(tag) { return this.sockets.filter((s) => tag === undefined || s.tags.includes(tag)).map((s) => s.socket); }
  getTags(socket) { return this.sockets.find((s) => s.socket === socket).tags; }
  setWebSocketAutoResponse(pair) { this.pair = pair ?? null; }
  getWebSocketAutoResponse() { return this.pair ?? null; }
  getWebSocketAutoResponseTimestamp() { return this.pair ? new Date(5000) : null; }
  waitUntil(promise) {
    if (!(promise instanceof Promise)) throw new TypeError("waitUntil takes a promise");
    this.waited.push(promise);
  }
  async blockConcurrencyWhile(fn) {
    const promise = fn();
    if (!(promise instanceof Promise)) throw new TypeError("the callback must return a promise");
    return await promise;
  }
  abort(reason) { this.aborted = reason; }
}

globalThis.WebSocketPair = class { constructor() { this[0] = new Socket(); this[1] = new Socket(); } };
globalThis.WebSocketRequestResponsePair = class { constructor(a, b) { this.request = a; this.response = b; } };
globalThis.makeState = (name) => new State(name);

// A namespace whose objects are reached as Cloudflare's are: a stub that forwards and copies.
globalThis.makeNamespace = (make) => {
  const objects = new Map();
  const id = (hex, name) => ({ name, toString: () => hex });
  const hexOf = (name) => Buffer.from(name).toString("hex").padEnd(64, "0");
  return {
    idFromName: (name) => id(hexOf(name), name),
    newUniqueId: () => id("f".repeat(64)),
    idFromString: (hex) => {
      if (hex.startsWith("dead")) throw new TypeError("Durable Object ID is not valid for this namespace.");
      return id(hex);
    },
    get: (which) => {
      const key = which.toString();
      if (!objects.has(key)) objects.set(key, make(which.name));
      const object = objects.get(key);
      return {
        fetch: async (request) => {
          if (object.overloaded) {
            const error = new Error("Durable Object is overloaded. Too many requests queued.");
            error.overloaded = true;
            throw error;
          }
          return await object.fetch(request);
        },
        edgekeepCall: async (text) => {
          if (object.reset) { const e = new Error("why"); e.retryable = true; throw e; }
          return await object.edgekeepCall(structuredClone(text));
        },
      };
    },
  };
};

const report = await python.runPythonAsync(
  "import sys\nsys.path.insert(0, '/session/metadata')\n" + readFileSync(script, "utf8")
    + "\nawait run()",
);
console.log(report);
process.exit(0);

// Starts real workerd with a Python Worker: node serve.mjs < OPTIONS.json
//
// OPTIONS: {"modules": [{"type", "path", "file"}], and any option of Miniflare}. Says {"url": …} in
// one line on stdout when it is ready, and ends when its stdin does.
// Usage of the fields: https://developers.cloudflare.com/workers/testing/miniflare/

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Log, LogLevel, Miniflare } from "miniflare";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { modules, ...options } = JSON.parse((await lines.next()).value);

const miniflare = new Miniflare({
  host: "127.0.0.1",
  port: 0,
  log: new Log(LogLevel.ERROR),
  cf: false, // no look-up of a sample `request.cf` on the network
  modules: modules.map(({ type, path, file }) => ({ type, path, contents: readFileSync(file) })),
  ...options,
});

console.log(JSON.stringify({ url: String(await miniflare.ready) }));
await lines.next();
await miniflare.dispose();
process.exit(0);

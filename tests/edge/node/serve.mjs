// Starts real workerd with a Python Worker: node serve.mjs < OPTIONS.json
//
// OPTIONS are Miniflare's, in one line (https://developers.cloudflare.com/workers/testing/miniflare/).
// Says {"url": …} in one line on stdout when it is ready, and ends when its stdin does.
// The Miniflare is the one that is installed in the working directory.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { Log, LogLevel, Miniflare } = createRequire(`${process.cwd()}/`)("miniflare");

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const options = JSON.parse((await lines.next()).value);

const miniflare = new Miniflare({
  host: "127.0.0.1",
  port: 0,
  log: new Log(LogLevel.ERROR),
  cf: false, // no look-up of a sample `request.cf` on the network
  ...options,
});

console.log(JSON.stringify({ url: String(await miniflare.ready) }));
await lines.next();
await miniflare.dispose();
process.exit(0);

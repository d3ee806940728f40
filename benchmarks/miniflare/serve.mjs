// Starts worker.mjs on miniflare with stores on disk: node serve.mjs PORT STATE_DIRECTORY

import { Log, LogLevel, Miniflare } from "miniflare";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const [port, state] = process.argv.slice(2);
const miniflare = new Miniflare({
  host: "127.0.0.1",
  port: Number(port),
  log: new Log(LogLevel.ERROR),
  cf: false, // no look-up of a sample `request.cf` on the network
  modules: true,
  rootPath: fileURLToPath(new URL(".", import.meta.url)),
  scriptPath: "worker.mjs",
  compatibilityDate: "2026-04-01",
  kvNamespaces: ["PROFILES_KV"],
  kvPersist: join(state, "kv"),
  d1Databases: ["DB"],
  d1Persist: join(state, "d1"),
  durableObjects: {
    COUNTER: { className: "Counter", useSQLite: true },
    INBOX: { className: "Inbox", useSQLite: true },
  },
  durableObjectsPersist: join(state, "do"),
});

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, async () => {
    await miniflare.dispose();
    process.exit(0);
  });
}

await miniflare.ready;
console.log(`ready on ${port}`);

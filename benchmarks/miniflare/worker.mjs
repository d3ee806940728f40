// The doors that the benchmarks measure, as a JavaScript Worker. It does per request what the
// Python Worker's doors do: one call of one binding, and the stored bytes as the answer.

const JSON_TYPE = { "content-type": "application/json" };

/** A counter in a Durable Object: read, add one, write; the reply waits for the write. */
export class Counter {
  constructor(ctx) {
    this.storage = ctx.storage;
  }

  async fetch() {
    const next = ((await this.storage.get("n")) ?? 0) + 1;
    await this.storage.put("n", next);
    return new Response(`{"n": ${next}}`, { headers: JSON_TYPE });
  }
}

/** An inbox: messages are stored, answered, passed on to the readers, removed. */
export class Inbox {
  constructor(ctx) {
    this.ctx = ctx;
    this.sql = ctx.storage.sql;
    this.sql.exec(
      "CREATE TABLE IF NOT EXISTS messages (seq INTEGER PRIMARY KEY, at INTEGER, body BLOB)",
    );
  }

  async fetch(request) {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server, [new URL(request.url).searchParams.get("role")]);
    return new Response(null, { status: 101, webSocket: client });
  }

  // Favourable to JavaScript: sender and recipient share one object, so nothing crosses between
  // objects; no frame is parsed; the output gate holds both sends until the insert is durable.
  async webSocketMessage(socket, message) {
    const at = Date.now();
    const { seq } = this.sql
      .exec("INSERT INTO messages (at, body) VALUES (?, ?) RETURNING seq", at, message)
      .one();
    for (const reader of this.ctx.getWebSockets("reader")) reader.send(message);
    socket.send(OK);
    this.sql.exec("DELETE FROM messages WHERE seq = ?", seq);
  }

  async webSocketClose(socket, code) {
    socket.close(code === 1005 || code === 1006 ? 1000 : code);
  }
}

const OK = new Uint8Array(34);

async function item(url, env) {
  const text = await env.PROFILES_KV.get(`profile:${url.searchParams.get("id")}`);
  if (text === null) return new Response("not found", { status: 404 });
  return new Response(text, { headers: JSON_TYPE });
}

async function writeKey(url, request, env) {
  await env.PROFILES_KV.put(url.searchParams.get("key"), await request.text());
  return new Response(null, { status: 204 });
}

async function pointQuery(url, env) {
  const row = await env.DB.prepare("SELECT id, document FROM bench_items WHERE id = ?")
    .bind(url.searchParams.get("id"))
    .first();
  if (row === null) return new Response("not found", { status: 404 });
  return new Response(row.document, { headers: JSON_TYPE });
}

async function writeRow(url, request, env) {
  await env.DB.prepare("INSERT OR REPLACE INTO bench_items (id, document) VALUES (?, ?)")
    .bind(url.searchParams.get("id"), await request.text())
    .run();
  return new Response(null, { status: 204 });
}

function count(url, request, env) {
  const name = url.searchParams.get("name") ?? "one";
  return env.COUNTER.get(env.COUNTER.idFromName(name)).fetch(request);
}

// The first answer here says that the stores are ready; the runner waits for it.
async function ready(env) {
  await env.DB.exec(
    "CREATE TABLE IF NOT EXISTS bench_items (id TEXT PRIMARY KEY, document TEXT NOT NULL)",
  );
  return new Response('{"status": "ok"}', { headers: JSON_TYPE });
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    switch (`${request.method} ${url.pathname}`) {
      case "GET /api/profiles/item":
        return item(url, env);
      case "PUT /bench/kv":
        return writeKey(url, request, env);
      case "GET /bench/d1":
        return pointQuery(url, env);
      case "PUT /bench/d1":
        return writeRow(url, request, env);
      case "POST /bench/counter":
        return count(url, request, env);
      case "GET /bench/relay":
        return env.INBOX.get(env.INBOX.idFromName(url.searchParams.get("inbox"))).fetch(request);
      case "GET /healthz":
        return ready(env);
      default:
        return new Response("not found", { status: 404 });
    }
  },
};

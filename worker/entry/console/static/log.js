// The live tail of the request log: rows come as server-sent events and go to the top of the table.
// Texts are set as text only; nothing of a line is ever read as HTML.

const LIMIT = 500;
const live = document.getElementById("live");
const pause = document.getElementById("pause");
const state = document.getElementById("state");
const nothing = document.getElementById("nothing");
const body = document.querySelector("tbody");

let isPaused = false;
let waiting = [];
let lost = 0;
let connection = "Connecting …";

function cell(text, { name = "", code = false } = {}) {
  const made = document.createElement("td");
  if (name) made.className = name;
  if (code) {
    const inner = document.createElement("code");
    inner.textContent = text;
    made.append(inner);
  } else {
    made.textContent = text;
  }
  return made;
}

function rowOf(line) {
  const row = document.createElement("tr");
  row.append(
    cell(line.ts.slice(11, 23), { name: "tight" }),
    cell(line.method),
    cell(line.route, { name: "tight", code: true }),
    cell(line.status, { name: line.status.startsWith("5") ? "bad-text" : "" }),
    cell(line.ms, { name: "number" }),
    cell(line.level, { name: line.level === "error" ? "bad-text" : "" }),
    cell(line.event),
    cell(line.request_id, { name: "tight", code: true }),
    cell(line.rest, { name: "tight", code: true }),
  );
  return row;
}

function draw() {
  const parts = [isPaused ? "Paused" : connection];
  if (isPaused && waiting.length) parts.push(`${waiting.length} new lines wait`);
  if (lost) parts.push(`${lost} lines were lost: this page was too slow for them`);
  const text = parts.join(" · ");
  if (state.textContent !== text) state.textContent = text;
  if (isPaused || !waiting.length) return;
  nothing.hidden = true;
  body.prepend(...waiting.reverse().map(rowOf));
  waiting = [];
  while (body.rows.length > LIMIT) body.rows[body.rows.length - 1].remove();
}

pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.setAttribute("aria-pressed", String(isPaused));
  pause.textContent = isPaused ? "Go on" : "Pause";
  draw();
});

const stream = new EventSource(`${live.dataset.stream}&seen=${live.dataset.seen}`);
stream.addEventListener("open", () => { connection = "Live"; draw(); });
stream.addEventListener("error", () => {
  // Closed for good: a host that was started anew has another key.
  const isOver = stream.readyState === EventSource.CLOSED;
  connection = isOver ? "The host was started anew: open its new link" : "The host does not answer; trying again …";
  draw();
});
stream.addEventListener("message", (event) => {
  const news = JSON.parse(event.data);
  waiting.push(...news.rows);
  lost += news.lost;
  if (waiting.length > LIMIT) {
    lost += waiting.length - LIMIT;
    waiting = waiting.slice(-LIMIT);
  }
  draw();
});
live.hidden = false;

// Forms with a file (data-upload): a drop zone, how far the file is, and live counts of an import.
// Without this script the same forms are sent plainly and answer with the next page.
"use strict";

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 999.5 && unit < units.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${bytes.toFixed(unit && bytes < 99.95 ? 1 : 0)} ${units[unit]}`;
}

function makeDropZone(zone) {
  const input = zone.querySelector("input[type=file]");
  for (const name of ["dragenter", "dragover"]) {
    zone.addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  zone.addEventListener("dragleave", (event) => {
    if (!zone.contains(event.relatedTarget)) {
      zone.classList.remove("over");
    }
  });
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files.length) {
      input.files = event.dataTransfer.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    }
  });
}

function newImportId() {
  const stamp = new Date().toISOString().replace(/[^0-9]/g, "").slice(0, 14);
  const random = crypto.getRandomValues(new Uint8Array(8));
  return `imp_${stamp}_${Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

// What the page says of a refusal: its own notice, or that there was no answer.
function reasonOf(request) {
  const page = new DOMParser().parseFromString(request.responseText, "text/html");
  const notice = page.querySelector("main .notice");
  return notice ? notice.textContent.trim() : "The connection broke off: is the host still running?";
}

class Upload {
  constructor(form) {
    this.form = form;
    this.box = form.querySelector("[data-progress]");
    this.bar = form.querySelector("progress");
    this.status = form.querySelector("[data-status]");
    this.failure = form.querySelector("[data-failure]");
    this.sent = "";
    this.counts = "";
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
  }

  start() {
    this.failure.hidden = true;
    this.box.hidden = false;
    this.bar.value = 0;
    this.counts = "";
    this.say("Sending …");
    this.form.querySelector("button").disabled = true;
    this.watch();
    const request = new XMLHttpRequest();
    request.open("POST", this.form.action);
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) {
        this.bar.value = event.loaded / event.total;
        this.say(`${size(event.loaded)} of ${size(event.total)} sent`);
      }
    });
    request.upload.addEventListener("load", () => this.say("Everything is sent; waiting for the end …"));
    request.addEventListener("loadend", () => this.end(request));
    request.send(new FormData(this.form));
  }

  say(sent) {
    this.sent = sent;
    this.status.textContent = this.counts ? `${this.sent} · ${this.counts}` : this.sent;
  }

  // Imports tell their counts while they run, to whoever knows their id: so it is chosen here.
  watch() {
    const field = this.form.querySelector("[data-import-id]");
    if (!field) {
      return;
    }
    field.value = newImportId();
    this.events = new EventSource(this.form.dataset.watch + field.value);
    this.events.addEventListener("message", (event) => {
      const told = JSON.parse(event.data);
      if ("profiles_stored" in told) {
        const number = (name) => told[name].toLocaleString("en");
        this.counts =
          `${number("lines_total")} lines read, ${number("profiles_stored")} stored, ` +
          `${number("lines_invalid")} refused`;
        this.say(this.sent);
      }
      if (told.event === "report" || told.event === "end") {
        this.events.close();
      }
    });
  }

  end(request) {
    if (request.status === 200) {
      this.bar.value = 1;
      this.say("Done.");
      window.location.assign(JSON.parse(request.responseText).location);
      return;
    }
    if (this.events) {
      this.events.close();
    }
    this.box.hidden = true;
    this.failure.textContent = reasonOf(request);
    this.failure.hidden = false;
    this.form.querySelector("button").disabled = false;
  }
}

for (const zone of document.querySelectorAll("[data-drop]")) {
  makeDropZone(zone);
}
for (const form of document.querySelectorAll("form[data-upload]")) {
  new Upload(form);
}

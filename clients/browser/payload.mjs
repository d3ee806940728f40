// The payload of a backup: Protobuf of clients/python/backup/payload.proto, padded (docs/backup-format.md).
//
// Written by hand: the schema is four small messages, and what is read here is authenticated. Known
// fields are written in ascending order without defaults, as every Protobuf library does.

import { BackupError } from "./errors.mjs";

export const SCHEMA = 1;
export const BLOCK_BYTES = 4096;
export const PROFILE_KEY_BYTES = 32;
const CURVE25519 = 1;
const END_MARK = 0x80;
const VARINT = 0;
const BYTES = 2;
const LIMITS = { id: 512, name: 1024, note: 16 * 1024, key: 8192 };
const utf8 = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// Field number -> [name, kind]; "contacts" alone is repeated.
const CONTACT = {
  1: ["id", "text"],
  2: ["name", "text"],
  3: ["note", "text"],
  4: ["updated_at_ms", "number"],
  5: ["deleted", "flag"],
};
const IDENTITY = { 1: ["key_type", "small"], 2: ["public_key", "bytes"], 3: ["private_key", "bytes"] };
const PROFILE = { 1: ["attachment_id", "text"], 2: ["key", "bytes"], 3: ["updated_at_ms", "number"] };
const PAYLOAD = {
  1: ["schema", "small"],
  2: ["generation", "number"],
  3: ["created_at_ms", "number"],
  4: ["identity", IDENTITY],
  5: ["contacts", CONTACT, "repeated"],
  6: ["profile", PROFILE],
};
const EMPTY = { text: "", number: 0, small: 0, flag: false, bytes: new Uint8Array() };

/** Encode and pad a payload; throws BackupError `invalid_contact`. */
export function encode(payload) {
  check(payload, "invalid_contact");
  const plain = write(PAYLOAD, { ...payload, schema: SCHEMA });
  const padded = new Uint8Array(Math.ceil((plain.length + 1) / BLOCK_BYTES) * BLOCK_BYTES);
  padded.set(plain);
  padded[plain.length] = END_MARK;
  return padded;
}

/** Decode a padded payload; throws BackupError `payload_invalid` or `unsupported`. */
export function decode(padded) {
  let end = padded.length;
  while (end > 0 && padded[end - 1] === 0) end -= 1;
  if (padded[end - 1] !== END_MARK || padded.length - end >= BLOCK_BYTES) {
    throw invalid("The backup's content is not padded as it should be.");
  }
  const read = message(PAYLOAD, padded.subarray(0, end - 1));
  if (read.schema > SCHEMA) {
    throw new BackupError("unsupported", "A newer client made this backup; update this one.");
  }
  if (read.schema !== SCHEMA || read.identity === undefined) {
    throw invalid("The backup's content lacks its schema or its identity.");
  }
  const { schema: _, ...payload } = { ...read, profile: read.profile ?? blank(PROFILE) };
  check(payload, "payload_invalid");
  return payload;
}

/** A contact as Protobuf: what decides between two of the same moment. */
export function contactBytes(contact) {
  return write(CONTACT, contact);
}

/** Compare byte by byte, the shorter first when one begins the other. */
export function compareBytes(a, b) {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i += 1) {
    if (a[i] !== b[i]) return a[i] - b[i];
  }
  return a.length - b.length;
}

/** Compare two ids by their UTF-8 bytes (JavaScript's own order is that of UTF-16). */
export function compareIds(a, b) {
  return compareBytes(utf8.encode(a), utf8.encode(b));
}

function invalid(text) {
  return new BackupError("payload_invalid", text);
}

function check(payload, code) {
  const fail = (text) => {
    throw new BackupError(code, text);
  };
  const isMoment = (n) => Number.isSafeInteger(n) && n >= 0;
  if (!isMoment(payload.generation) || payload.generation < 1 || !isMoment(payload.created_at_ms)) {
    fail("The backup's generation or time is out of range.");
  }
  checkIdentity(payload.identity, fail);
  const { attachment_id: id, key, updated_at_ms: when } = payload.profile;
  const isSet = /^[A-Za-z0-9_.-]{1,128}$/.test(id) && key.length === PROFILE_KEY_BYTES;
  if (!isMoment(when) || !(isSet || (id === "" && key.length === 0))) {
    fail("The profile's attachment id or key has a wrong form.");
  }
  let before = null;
  for (const contact of payload.contacts) {
    for (const name of ["id", "name", "note"]) {
      // A lone surrogate has no UTF-8 form.
      const unfit = /\p{Surrogate}/u.test(contact[name]);
      if (unfit || utf8.encode(contact[name]).length > LIMITS[name]) fail(`A contact's ${name} is unfit.`);
    }
    if (contact.id === "" || !isMoment(contact.updated_at_ms)) fail("A contact lacks its id or time.");
    if (contact.deleted && (contact.name || contact.note)) fail("A removed contact still has a name.");
    if (before !== null && compareIds(before, contact.id) >= 0) fail("The contacts are not in order.");
    before = contact.id;
  }
}

function checkIdentity({ key_type: type, public_key: open, private_key: secret }, fail) {
  const sizes = [open.length, secret.length];
  if (!(type >= 1 && type <= 0xffff) || sizes.some((n) => n < 1 || n > LIMITS.key)) {
    fail("The identity has no keys, or keys that are too long.");
  }
  if (type === CURVE25519 && (open.length !== 33 || secret.length !== 32 || open[0] !== 5)) {
    fail("The identity's keys are no Curve25519 keys.");
  }
}

function write(fields, values) {
  const out = [];
  for (const [number, [name, kind, repeated]] of Object.entries(fields)) {
    for (const value of repeated ? values[name] : [values[name]]) {
      if (typeof kind === "object") {
        delimited(out, number, write(kind, value));
      } else if (kind === "text" || kind === "bytes") {
        const bytes = kind === "text" ? utf8.encode(value) : value;
        if (bytes.length) delimited(out, number, bytes);
      } else if (Number(value)) {
        varint(out, number * 8 + VARINT);
        varint(out, Number(value));
      }
    }
  }
  return Uint8Array.from(out);
}

function delimited(out, number, bytes) {
  varint(out, number * 8 + BYTES);
  varint(out, bytes.length);
  for (const byte of bytes) out.push(byte);
}

function varint(out, value) {
  // Arithmetic, not bits: numbers here go up to 2^53.
  let rest = value;
  while (rest >= 128) {
    out.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  out.push(rest);
}

function blank(fields) {
  const empty = ([name, kind, repeated]) => [name, repeated ? [] : EMPTY[kind]];
  return Object.fromEntries(Object.values(fields).map(empty));
}

/** Read one message; *into* is what an earlier part of the same field said. */
function message(fields, bytes, into = blank(fields)) {
  const reader = new Reader(bytes);
  while (!reader.done) {
    const tag = Number(BigInt.asUintN(32, reader.varint()));
    const wire = tag & 7;
    const field = fields[tag >>> 3];
    if (tag >>> 3 === 0) throw invalid("The backup's content is no Protobuf of its schema.");
    const wanted = field && (["number", "small", "flag"].includes(field[1]) ? VARINT : BYTES);
    if (!field || wire !== wanted) {
      reader.skip(wire);
      continue;
    }
    const [name, kind, repeated] = field;
    if (typeof kind === "object") {
      const part = message(kind, reader.bytes(), repeated ? undefined : into[name]);
      if (repeated) into[name].push(part);
      else into[name] = part;
    } else {
      into[name] = scalar(kind, reader);
    }
  }
  return into;
}

function scalar(kind, reader) {
  if (kind === "bytes") return reader.bytes().slice();
  if (kind === "text") {
    try {
      return strict.decode(reader.bytes());
    } catch (error) {
      if (error instanceof BackupError) throw error;
      throw invalid("The backup's content holds text that is no UTF-8.");
    }
  }
  const value = reader.varint();
  if (kind === "flag") return value !== 0n;
  if (kind === "small") return Number(BigInt.asUintN(32, value));
  // Too large or negative ones fail the check that follows.
  return Number(value);
}

class Reader {
  constructor(bytes) {
    this.all = bytes;
    this.at = 0;
  }

  get done() {
    return this.at >= this.all.length;
  }

  varint() {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (this.done) break;
      const byte = this.all[this.at];
      this.at += 1;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asUintN(64, value);
    }
    throw invalid("The backup's content is no Protobuf of its schema.");
  }

  take(length) {
    if (length > this.all.length - this.at) {
      throw invalid("The backup's content is no Protobuf of its schema.");
    }
    this.at += length;
    return this.all.subarray(this.at - length, this.at);
  }

  bytes() {
    return this.take(Number(this.varint()));
  }

  skip(wire) {
    if (wire === VARINT) this.varint();
    else if (wire === 1) this.take(8);
    else if (wire === BYTES) this.bytes();
    else if (wire === 5) this.take(4);
    else throw invalid("The backup's content is no Protobuf of its schema.");
  }
}

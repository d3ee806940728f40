// Protobuf of small schemas, written by hand: no library is as small as what is needed of one.
//
// A message is a table: field number -> [name, kind, "repeated"?]; a kind is "text", "bytes",
// "number" (64 bits, safe as a Number), "small" (32 bits), "flag", or the table of a message. Known
// fields are written in ascending order without defaults, as every Protobuf library does.

import { utf8 } from "./bytes.mjs";

const VARINT = 0;
const BYTES = 2;
const EMPTY = { text: "", number: 0, small: 0, flag: false, bytes: new Uint8Array() };
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The bytes are no Protobuf of the schema. */
export class ProtobufError extends Error {
  constructor(text) {
    super(text);
    this.name = "ProtobufError";
  }
}

/** Encode the message *values* of the table *fields*. */
export function write(fields, values) {
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

/** The message of a table with nothing said. */
export function blank(fields) {
  const empty = ([name, kind, repeated]) => [name, repeated ? [] : EMPTY[kind]];
  return Object.fromEntries(Object.values(fields).map(empty));
}

/**
 * Decode one message; *into* is what an earlier part of the same field said. Throws ProtobufError.
 */
export function read(fields, bytes, into = blank(fields)) {
  const reader = new Reader(bytes);
  while (!reader.done) {
    const tag = Number(BigInt.asUintN(32, reader.varint()));
    const wire = tag & 7;
    const field = fields[tag >>> 3];
    if (tag >>> 3 === 0) throw malformed();
    const wanted = field && (["number", "small", "flag"].includes(field[1]) ? VARINT : BYTES);
    if (!field || wire !== wanted) {
      reader.skip(wire);
      continue;
    }
    const [name, kind, repeated] = field;
    if (typeof kind === "object") {
      const part = read(kind, reader.bytes(), repeated ? undefined : into[name]);
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
    const bytes = reader.bytes();
    try {
      return strict.decode(bytes);
    } catch {
      throw new ProtobufError("A text is no UTF-8.");
    }
  }
  const value = reader.varint();
  if (kind === "flag") return value !== 0n;
  if (kind === "small") return Number(BigInt.asUintN(32, value));
  // Too large or negative ones are for the reader of the message to judge.
  return Number(value);
}

function malformed() {
  return new ProtobufError("The bytes are no Protobuf of this schema.");
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
    throw malformed();
  }

  take(length) {
    if (length > this.all.length - this.at) {
      throw malformed();
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
    else throw malformed();
  }
}

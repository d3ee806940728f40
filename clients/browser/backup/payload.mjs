// The payload of a backup: Protobuf of clients/python/backup/payload.proto, padded (docs/backup-format.md).

import { compareTexts, utf8 } from "edgekeep-core/bytes.mjs";
import { blank, ProtobufError, read, write } from "edgekeep-core/protobuf.mjs";

import { BackupError } from "./errors.mjs";

export const SCHEMA = 1;
export const BLOCK_BYTES = 4096;
export const PROFILE_KEY_BYTES = 32;
const CURVE25519 = 1;
const END_MARK = 0x80;
const LIMITS = { id: 512, name: 1024, note: 16 * 1024, key: 8192 };

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
  const told = message(padded.subarray(0, end - 1));
  if (told.schema > SCHEMA) {
    throw new BackupError("unsupported", "A newer client made this backup; update this one.");
  }
  if (told.schema !== SCHEMA || told.identity === undefined) {
    throw invalid("The backup's content lacks its schema or its identity.");
  }
  const { schema: _, ...payload } = { ...told, profile: told.profile ?? blank(PROFILE) };
  check(payload, "payload_invalid");
  return payload;
}

/** A contact as Protobuf: what decides between two of the same moment. */
export function contactBytes(contact) {
  return write(CONTACT, contact);
}

function message(bytes) {
  try {
    return read(PAYLOAD, bytes);
  } catch (error) {
    if (!(error instanceof ProtobufError)) throw error;
    throw invalid(`The backup's content cannot be read: ${error.message}`);
  }
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
    if (before !== null && compareTexts(before, contact.id) >= 0) fail("The contacts are not in order.");
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

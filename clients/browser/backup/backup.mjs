// The encrypted backup in a browser (or Node 20 and newer): docs/backup-format.md.
//
//   import { seal, unseal, FLOOR } from "edgekeep-backup";
//   const blob = await seal(payload, password, FLOOR);
//   const payload = await unseal(blob, password);
//
// Argon2id keeps its thread busy for about a second: call these in a Web Worker. A page with a
// Content-Security-Policy needs script-src 'wasm-unsafe-eval'.

import { utf8 } from "edgekeep-core/bytes.mjs";
import { argon2id } from "hash-wasm";

import { BackupError } from "./errors.mjs";
import { BLOCK_BYTES, decode, encode } from "./payload.mjs";

export { BackupError } from "./errors.mjs";
export { mergeContacts } from "./merge.mjs";

export const LARGEST_BLOB = 2 * 1024 * 1024;
/** The least that a backup may cost to open, and a fair choice for telephones. */
export const FLOOR = Object.freeze({ memory_kib: 64 * 1024, passes: 3, lanes: 1 });
const CEILING = { memory_kib: 512 * 1024, passes: 16, lanes: 16, work: 2 * 1024 * 1024 };
export const FEWEST_CHARACTERS = 13;
const MOST_CHARACTERS = 1024;

const MAGIC = utf8.encode("EKBACKUP");
const FIELDS_BYTES = 52;
const HEADER_BYTES = 64;
const HEAD_BYTES = 96;
const TAG_BYTES = 16;
const SALT_AT = 24;
const NONCE_AT = 40;

/** The bytes a password stands for: NFKC in UTF-8. Throws `weak_password`. */
export function passwordBytes(password) {
  if ([...password].length > MOST_CHARACTERS || /\p{Surrogate}/u.test(password)) {
    throw new BackupError("weak_password", "The password is too long or no Unicode text.");
  }
  return utf8.encode(password.normalize("NFKC"));
}

/** Throw `weak_password` unless a new backup may be protected by this: 13 characters and more. */
export function checkNewPassword(password) {
  passwordBytes(password);
  if ([...password.normalize("NFKC")].length < FEWEST_CHARACTERS) {
    throw new BackupError(
      "weak_password",
      `A backup password has at least ${FEWEST_CHARACTERS} characters.`,
    );
  }
}

/**
 * Encrypt a payload; returns the blob (Uint8Array). `random` is for test vectors only: every blob
 * needs a fresh salt and nonce. Throws `weak_password`, `invalid_contact`, `too_large`.
 */
export async function seal(payload, password, cost = FLOOR, random = fresh()) {
  checkNewPassword(password);
  checkCost(cost);
  const plain = encode(payload);
  if (HEAD_BYTES + plain.length + TAG_BYTES > LARGEST_BLOB) {
    throw new BackupError("too_large", "There are more contacts than a backup of 2 MiB can hold.");
  }
  const header = await writeHeader({ cost, ...random });
  const keys = await derive(password, random.salt, cost);
  const head = new Uint8Array(HEAD_BYTES);
  head.set(header);
  head.set(new Uint8Array(await crypto.subtle.sign("HMAC", keys.check, header)), HEADER_BYTES);
  const box = { name: "AES-GCM", iv: random.nonce, additionalData: head };
  const body = new Uint8Array(await crypto.subtle.encrypt(box, keys.encrypt, plain));
  const blob = new Uint8Array(HEAD_BYTES + body.length);
  blob.set(head);
  blob.set(body, HEAD_BYTES);
  return blob;
}

/**
 * Decrypt a blob; everything that needs no key is checked before Argon2id runs. Throws BackupError:
 * `header_damaged`, `unsupported`, `too_weak`, `too_costly`, `wrong_password`, `body_damaged`,
 * `payload_invalid`, `too_large`.
 */
export async function unseal(blob, password) {
  if (blob.length > LARGEST_BLOB) {
    throw new BackupError("too_large", "This is larger than a backup can be.");
  }
  const { cost, salt, nonce } = await readHeader(blob);
  const length = blob.length - HEAD_BYTES - TAG_BYTES;
  if (length <= 0 || length % BLOCK_BYTES !== 0) {
    throw new BackupError("body_damaged", "The backup is cut off, or something was added to it.");
  }
  const keys = await derive(password, salt, cost);
  const head = blob.subarray(0, HEAD_BYTES);
  const isRight = await crypto.subtle.verify(
    "HMAC",
    keys.check,
    head.subarray(HEADER_BYTES),
    head.subarray(0, HEADER_BYTES),
  );
  if (!isRight) {
    throw new BackupError("wrong_password", "The password is not the one of this backup.");
  }
  const box = { name: "AES-GCM", iv: nonce, additionalData: head };
  let plain;
  try {
    plain = await crypto.subtle.decrypt(box, keys.encrypt, blob.subarray(HEAD_BYTES));
  } catch {
    throw new BackupError("body_damaged", "The password is right, and the backup was damaged.");
  }
  return decode(new Uint8Array(plain));
}

/** Read and judge what is readable without the password: {cost, salt, nonce}. */
export async function readHeader(blob) {
  if (blob.length < HEADER_BYTES || MAGIC.some((byte, i) => blob[i] !== byte)) {
    throw new BackupError("header_damaged", "This is no Edgekeep backup, or it was damaged.");
  }
  if (blob[8] !== 1) {
    throw new BackupError("unsupported", "A newer client made this backup, or it was damaged.");
  }
  const sum = await checksum(blob.subarray(0, FIELDS_BYTES));
  if (sum.some((byte, i) => blob[FIELDS_BYTES + i] !== byte)) {
    throw new BackupError("header_damaged", "The beginning of the backup was damaged.");
  }
  if (blob[9] !== 1 || blob[10] !== 1 || blob[11] !== 0) {
    throw new BackupError("unsupported", "The backup uses an algorithm unknown to this client.");
  }
  const view = new DataView(blob.buffer, blob.byteOffset);
  const [memory_kib, passes, lanes] = [12, 16, 20].map((at) => view.getUint32(at));
  const cost = { memory_kib, passes, lanes };
  checkCost(cost);
  return { cost, salt: blob.slice(SALT_AT, NONCE_AT), nonce: blob.slice(NONCE_AT, FIELDS_BYTES) };
}

function checkCost({ memory_kib, passes, lanes }) {
  if (memory_kib < FLOOR.memory_kib || passes < FLOOR.passes || lanes < 1) {
    throw new BackupError("too_weak", "This backup asks for a weaker key derivation than allowed.");
  }
  const work = memory_kib * passes;
  const { memory_kib: memory, passes: most, lanes: wide, work: all } = CEILING;
  if (memory_kib > memory || passes > most || lanes > wide || work > all) {
    throw new BackupError("too_costly", "This backup would hold up this machine.");
  }
}

function fresh() {
  const random = (length) => crypto.getRandomValues(new Uint8Array(length));
  return { salt: random(16), nonce: random(12) };
}

async function writeHeader({ cost, salt, nonce }) {
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  header.set(MAGIC);
  header.set([1, 1, 1, 0], 8);
  [cost.memory_kib, cost.passes, cost.lanes].forEach((n, i) => view.setUint32(12 + 4 * i, n));
  header.set(salt, SALT_AT);
  header.set(nonce, NONCE_AT);
  header.set(await checksum(header.subarray(0, FIELDS_BYTES)), FIELDS_BYTES);
  return header;
}

async function checksum(fields) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", fields)).subarray(0, 12);
}

async function derive(password, salt, cost) {
  const bytes = passwordBytes(password);
  const master = await argon2id({
    password: bytes,
    salt,
    memorySize: cost.memory_kib,
    iterations: cost.passes,
    parallelism: cost.lanes,
    hashLength: 32,
    outputType: "binary",
  });
  const root = await crypto.subtle.importKey("raw", master, "HKDF", false, ["deriveKey"]);
  bytes.fill(0);
  master.fill(0);
  const part = (purpose, kind, uses) =>
    crypto.subtle.deriveKey(
      { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: utf8.encode(purpose) },
      root,
      kind,
      false,
      uses,
    );
  // WebCrypto's own length for HMAC keys would be 64 bytes.
  const hmac = { name: "HMAC", hash: "SHA-256", length: 256 };
  return {
    encrypt: await part("edgekeep backup v1 encrypt", { name: "AES-GCM", length: 256 }, [
      "encrypt",
      "decrypt",
    ]),
    check: await part("edgekeep backup v1 check", hmac, ["sign", "verify"]),
  };
}

// Holds this client to docs/vectors/backup-v1.json. In Node: node check_vectors.mjs ../../../docs/...

import { checkNewPassword, mergeContacts, passwordBytes, seal, unseal } from "./backup.mjs";

const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const bytes = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));

/** Return {checked, failures}: how many rows were held against this client, and what failed. */
export async function checkVectors(vectors) {
  const failures = [];
  let checked = 0;
  const expect = (what, found, wanted) => {
    checked += 1;
    if (found !== wanted) failures.push(`${what}: ${String(found).slice(0, 200)}`);
  };
  for (const row of vectors.passwords) {
    expect(`password ${row.bytes}`, hex(passwordBytes(row.password)), row.bytes);
    expect(`accepted ${row.bytes}`, await codeOf(() => checkNewPassword(row.password)),
      row.accepted ? "" : "weak_password");
  }
  for (const row of vectors.sealed) {
    const random = { salt: bytes(row.salt), nonce: bytes(row.nonce) };
    const payload = binary(row.payload);
    expect(`seal ${row.name}`, hex(await seal(payload, row.password, row.cost, random)), row.blob);
    const opened = await unseal(bytes(row.blob), row.password);
    expect(`unseal ${row.name}`, canonical(opened), canonical(payload));
  }
  const first = bytes(vectors.sealed[0].blob);
  for (const row of vectors.refused) {
    const blob = row.whole === undefined ? changed(first, row) : bytes(row.whole);
    expect(`refuse ${row.name}`, await codeOf(() => unseal(blob, row.password)), row.error);
  }
  for (const row of vectors.merges) {
    const merged = mergeContacts(row.ours, row.theirs);
    const backwards = mergeContacts(row.theirs, row.ours);
    expect(`merge ${row.name}`, canonical(merged.contacts), canonical(row.merged));
    expect(`merge ${row.name}, other way`, canonical(backwards.contacts), canonical(row.merged));
    const clashes = merged.clashes.map(({ kept }) => kept.id);
    expect(`clashes ${row.name}`, canonical(clashes), canonical(row.clashes));
  }
  return { checked, failures };
}

async function codeOf(work) {
  try {
    await work();
    return "";
  } catch (error) {
    return error.code ?? `unexpected ${error}`;
  }
}

function changed(blob, row) {
  const start = blob.slice(0, row.length ?? blob.length);
  const put = bytes(row.bytes ?? "");
  const at = row.at ?? start.length;
  const out = new Uint8Array(Math.max(start.length, at + put.length));
  out.set(start);
  out.set(put, at);
  return out;
}

function binary(payload) {
  const { identity, profile } = payload;
  return {
    ...payload,
    identity: {
      ...identity,
      public_key: bytes(identity.public_key),
      private_key: bytes(identity.private_key),
    },
    profile: { ...profile, key: bytes(profile.key) },
  };
}

function canonical(value) {
  return JSON.stringify(value, (_, part) => {
    if (part instanceof Uint8Array) return hex(part);
    if (part === null || typeof part !== "object" || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

if (globalThis.process?.argv[1]?.endsWith("check_vectors.mjs")) {
  const { readFile } = await import("node:fs/promises");
  const result = await checkVectors(JSON.parse(await readFile(process.argv[2], "utf8")));
  console.log(JSON.stringify(result));
  process.exitCode = result.failures.length ? 1 : 0;
}

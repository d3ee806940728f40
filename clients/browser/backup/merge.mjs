// Union of contacts, the newest wins: clients/python/backup/merging.py in JavaScript.

import { compareBytes, compareTexts } from "edgekeep-core/bytes.mjs";

import { contactBytes } from "./payload.mjs";

/**
 * Merge two lists. At equal times with different content: kept over removed, then the higher
 * encoding; `clashes` lists those as {kept, dropped}.
 */
export function mergeContacts(ours, theirs) {
  const chosen = new Map(ours.map((contact) => [contact.id, contact]));
  const clashes = [];
  for (const contact of theirs) {
    const known = chosen.get(contact.id);
    const order = known === undefined ? 1 : compare(contact, known);
    if (order === 0) continue;
    const [kept, dropped] = order > 0 ? [contact, known] : [known, contact];
    chosen.set(contact.id, kept);
    if (dropped !== undefined && kept.updated_at_ms === dropped.updated_at_ms) {
      clashes.push({ kept, dropped });
    }
  }
  const contacts = [...chosen.values()].sort((a, b) => compareTexts(a.id, b.id));
  return { contacts, clashes };
}

function compare(a, b) {
  return (
    a.updated_at_ms - b.updated_at_ms ||
    Number(b.deleted) - Number(a.deleted) ||
    compareBytes(contactBytes(a), contactBytes(b))
  );
}

// Two people who have never met, and two more: node conversation.mjs URL
// Prints a transcript; what begins with '#' is for the test: '# secret …', '# look' (it looks through
// the server's stores and answers with a line). Ends with an error at the first thing that is wrong.
import { ErrorCode, LibSignalErrorBase } from '@signalapp/libsignal-client';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Person } from './person.mjs';

const base = process.argv[2];
const MARKER = 'MARKER-OF-A-PLAINTEXT';
const lines = createInterface({ input: process.stdin });
const say = (who, text) => console.log(`${who.padEnd(6)} ${text}`);

async function look(...people) {
  for (const secret of people.flatMap((one) => one.secrets)) console.log(`# secret ${secret}`);
  console.log('# look');
  await once(lines, 'line');
}

async function send(from, to, text, socket = from.socket) {
  const sealed = await from.encrypt(to.id, `${MARKER} ${text}`);
  const kind = sealed[0] === 3 ? 'prekey message' : 'message';
  const sent = await socket.ask({ send: { to: to.name, ciphertext: sealed } }, 'sent');
  say(from.name, `→ ${to.name}: "${text}" (${kind}, ${sealed.length} bytes)`);
  return sent;
}

async function read(who, message, expected) {
  assert.equal(await who.decrypt(message), `${MARKER} ${expected}`);
  say(who.name, `← ${message.senderName ?? message.sender_name}: "${expected}"`);
}

async function refuses(code, work) {
  await assert.rejects(work, (error) => LibSignalErrorBase.is(error, code));
}

const [alice, bob, carol, dave] = ['alice', 'bob', 'carol', 'dave'].map((n) => new Person(base, n));
await alice.register(3, 3);
await bob.register(3, 2);
say('', 'alice and bob have registered; bob: 3 one-time prekeys, 2 of Kyber and one of last resort');

// -- bob is away: the first message waits ----------------------------------------------------------
await alice.connect();
const first = await alice.fetchBundle('Bob');
assert.equal(first.status, 200);
assert.ok(first.json.one_time_pre_key && first.json.kyber_pre_key.id !== 9000);
await alice.begin(first.json);
await send(alice, bob, 'Hello bob, we have never met.');
await send(alice, bob, 'This is a second one before you came.');
await look(alice, bob);

// -- bob comes, reads, answers; alice hears it live -------------------------------------------------
await bob.connect({ json: true });
const waiting = await bob.socket.ask({ list: {} }, 'listing');
assert.equal(waiting.total, 2);
let found = await bob.socket.fetch();
await read(bob, found[0], 'Hello bob, we have never met.');
await read(bob, found[1], 'This is a second one before you came.');
assert.deepEqual(bob.kyber.used, [first.json.kyber_pre_key.id]);
assert.equal((await bob.socket.ask({ list: {} }, 'listing')).total, 0);
await alice.socket.ask({ subscribe: {} }, 'subscribed');
await send(bob, alice, 'Hello alice!');
await read(alice, await alice.socket.expect('message'), 'Hello alice!');
await send(alice, bob, 'The ratchet turns.');
found = await bob.socket.fetch();
assert.notEqual(found[0].ciphertext[0], 3, 'an established session sends plain messages');
await read(bob, found[0], 'The ratchet turns.');
await bob.socket.close();
say('', 'bob goes');

// -- while bob is away; then out of order, and with ack --------------------------------------------
const texts = ['one', 'two', 'three', 'four', 'five'];
for (const text of texts) await send(alice, bob, text);
await bob.connect({ ack: true });
found = await bob.socket.fetch();
for (const at of [4, 0, 2, 3, 1]) await read(bob, found[at], texts[at]);
await bob.socket.ask({ ack: { ids: found.slice(0, 3).map((one) => one.id) } }, 'acked');
say('bob', 'read them out of order, acknowledged three and lost the connection');
bob.socket.ws.terminate();
await bob.connect({ ack: true });
const again = await bob.socket.fetch();
assert.deepEqual(again.map((one) => one.id), found.slice(3).map((one) => one.id));
for (const message of again) await refuses(ErrorCode.DuplicatedMessage, () => bob.decrypt(message));
await bob.socket.ask({ ack: { ids: again.map((one) => one.id) } }, 'acked');
assert.equal((await bob.socket.ask({ list: {} }, 'listing')).total, 0);
say('bob', 'the two others came again, libsignal knew them; now nothing waits');

// -- the prekeys run out ----------------------------------------------------------------------------
const second = await alice.fetchBundle('bob');
assert.equal(second.status, 200);
await carol.register(1, 1);
await dave.register(1, 1);
const third = await carol.fetchBundle('bob');
assert.equal(third.json.kyber_pre_key.id, 9000, 'one-time Kyber prekeys are gone: the last resort');
assert.ok(third.json.one_time_pre_key);
const ids = [first, second, third].map((one) => one.json.one_time_pre_key.id);
assert.equal(new Set(ids).size, 3);
const fourth = await dave.fetchBundle('bob');
assert.deepEqual([fourth.status, fourth.json.error], [412, 'prekeys_exhausted']);
assert.equal((await dave.fetchBundle('nobody_at_all')).status, 404);
say('', 'three bundles gave three one-time prekeys; the fourth fetch: 412 prekeys_exhausted');
while ((await bob.socket.expect('keysLow')).left > 0);
say('bob', 'is told by the relay that no prekey is left');
await bob.socket.ask({ subscribe: {} }, 'subscribed');
await carol.begin(third.json);
await carol.connect();
await send(carol, bob, 'From carol, with the Kyber prekey of last resort.');
await read(bob, await bob.socket.expect('message'), 'From carol, with the Kyber prekey of last resort.');
const without = await dave.fetchBundle('bob', '?allow_no_otpk=1');
assert.equal(without.json.one_time_pre_key, null);
await dave.begin(without.json);
await dave.connect({ json: true });
await send(dave, bob, 'From dave, without a one-time prekey.');
await read(bob, await bob.socket.expect('message'), 'From dave, without a one-time prekey.');
assert.deepEqual(bob.kyber.used.slice(1), [9000, 9000]);
assert.equal((await bob.topUp(5)).one_time_pre_keys, 5);
assert.ok((await dave.fetchBundle('bob')).json.one_time_pre_key);
say('bob', 'topped up; bundles have one-time prekeys again');
await bob.socket.close();

// -- bob has a new phone ------------------------------------------------------------------------------
await send(alice, bob, 'You will never read this.');
bob.newIdentity();
const stored = await bob.ask('PUT', '/v1/keys', bob.upload(3, 3));
assert.deepEqual([stored.status, stored.json.one_time_pre_keys], [200, 3]);
say('bob', 'has a new identity key; what waited is gone');
const told = await alice.socket.expect('identityChanged');
assert.deepEqual([told.user, told.username], [bob.id, 'bob']);
say('alice', 'is told so by the relay');
await bob.connect();
assert.equal((await bob.socket.fetch()).length, 0);
const renewed = (await alice.fetchBundle('bob')).json;
await refuses(ErrorCode.UntrustedIdentity, () => alice.begin(renewed));
say('alice', 'libsignal refuses the new key until she accepts it');
alice.identities.accept(bob.address);
await alice.begin(renewed);
await send(alice, bob, 'Is it still you?');
await read(bob, (await bob.socket.fetch())[0], 'Is it still you?');
await send(bob, alice, 'With a new phone.');
await read(alice, await alice.socket.expect('message'), 'With a new phone.');

await look(alice, bob, carol, dave);
for (const one of [alice, bob, carol, dave]) await one.socket?.close();
lines.close();
say('', 'done');

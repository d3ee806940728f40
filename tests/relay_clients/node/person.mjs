// Somebody who registers, fetches keys and writes: libsignal on one side, the server's doors on the other.
import * as signal from '@signalapp/libsignal-client';
import assert from 'node:assert/strict';
import { Identities, KyberPrekeys, Prekeys, Sessions, SignedPrekeys } from './stores.mjs';
import { Socket } from './socket.mjs';

const PASSWORD = 'tangerine velocity 9';
const DEVICE = 1;
const LAST_RESORT = 9000;
const b64 = (data) => Buffer.from(data).toString('base64');
const bytes = (text) => Uint8Array.from(Buffer.from(text, 'base64'));

export class Person {
  #next = 1;

  constructor(base, name) {
    this.base = base;
    this.name = name;
    this.newIdentity();
  }

  // A new phone: nothing of the old one is left.
  newIdentity() {
    this.identities = new Identities(
      signal.IdentityKeyPair.generate(),
      1 + Math.floor(Math.random() * 16380),
    );
    this.sessions = new Sessions();
    this.prekeys = new Prekeys();
    this.signed = new SignedPrekeys();
    this.kyber = new KyberPrekeys(LAST_RESORT);
  }

  get #secret() {
    return this.identities.pair.privateKey;
  }

  // What must never be found at the server.
  get secrets() {
    const records = [...this.prekeys.records.values(), ...this.signed.records.values()];
    return [this.#secret, ...records.map((record) => record.privateKey())].map((key) =>
      b64(key.serialize()),
    );
  }

  #oneTime(count) {
    return Array.from({ length: count }, () => {
      const [id, secret] = [this.#next++, signal.PrivateKey.generate()];
      const record = signal.PreKeyRecord.new(id, secret.getPublicKey(), secret);
      this.prekeys.records.set(id, record);
      return { id, key: b64(record.publicKey().serialize()) };
    });
  }

  #signedPrekey() {
    const [id, secret] = [this.#next++, signal.PrivateKey.generate()];
    const key = secret.getPublicKey();
    const signature = this.#secret.sign(key.serialize());
    const record = signal.SignedPreKeyRecord.new(id, Date.now(), key, secret, signature);
    this.signed.records.set(id, record);
    return { id, key: b64(key.serialize()), signature: b64(signature) };
  }

  #kyberPrekey(id = this.#next++) {
    const pair = signal.KEMKeyPair.generate();
    const key = pair.getPublicKey().serialize();
    const signature = this.#secret.sign(key);
    this.kyber.records.set(id, signal.KyberPreKeyRecord.new(id, Date.now(), pair, signature));
    return { id, key: b64(key), signature: b64(signature) };
  }

  upload(oneTime, kyber) {
    return {
      identity_key: b64(this.identities.pair.publicKey.serialize()),
      registration_id: this.identities.registrationId,
      signed_pre_key: this.#signedPrekey(),
      one_time_pre_keys: this.#oneTime(oneTime),
      kyber_pre_keys: Array.from({ length: kyber }, () => this.#kyberPrekey()),
      last_resort_kyber_pre_key: this.#kyberPrekey(LAST_RESORT),
    };
  }

  async register(oneTime, kyber) {
    const body = { username: this.name, password: PASSWORD, ...this.upload(oneTime, kyber) };
    const { status, json } = await this.ask('POST', '/auth/register', body);
    assert.equal(status, 200, JSON.stringify(json));
    this.id = json.account_id;
    this.token = json.token;
    this.address = signal.ProtocolAddress.new(this.id, DEVICE);
  }

  async topUp(count) {
    const body = { one_time_pre_keys: this.#oneTime(count) };
    return (await this.ask('POST', '/v1/keys/one-time', body)).json;
  }

  async ask(method, path, body) {
    const headers = { 'Content-Type': 'application/json' };
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    const answer = await fetch(this.base + path, { method, headers, body: JSON.stringify(body) });
    return { status: answer.status, json: await answer.json() };
  }

  async connect(options = {}) {
    this.socket = await Socket.open(this.base, this.token, options);
    return this.socket;
  }

  async fetchBundle(name, query = '') {
    return this.ask('GET', `/keys/${name}${query}`);
  }

  // Begin a session with what the server says are somebody's keys.
  async begin(bundle) {
    const { signed_pre_key: signed, one_time_pre_key: oneTime, kyber_pre_key: kyber } = bundle;
    const made = signal.PreKeyBundle.new(
      bundle.registration_id,
      DEVICE,
      oneTime && oneTime.id,
      oneTime && signal.PublicKey.deserialize(bytes(oneTime.key)),
      signed.id,
      signal.PublicKey.deserialize(bytes(signed.key)),
      bytes(signed.signature),
      signal.PublicKey.deserialize(bytes(bundle.identity_key)),
      kyber.id,
      signal.KEMPublicKey.deserialize(bytes(kyber.key)),
      bytes(kyber.signature),
    );
    const to = signal.ProtocolAddress.new(bundle.account_id, DEVICE);
    await signal.processPreKeyBundle(made, to, this.address, this.sessions, this.identities);
  }

  // The first byte of what travels says which kind of message it is.
  async encrypt(id, text) {
    const to = signal.ProtocolAddress.new(id, DEVICE);
    const data = Uint8Array.from(Buffer.from(text));
    const sealed = await signal.signalEncrypt(data, to, this.address, this.sessions, this.identities);
    return Buffer.concat([Buffer.from([sealed.type()]), sealed.serialize()]);
  }

  async decrypt(message) {
    const from = signal.ProtocolAddress.new(message.sender, DEVICE);
    const data = Uint8Array.from(message.ciphertext.subarray(1));
    const both = [from, this.address, this.sessions, this.identities];
    const isFirst = message.ciphertext[0] === signal.CiphertextMessageType.PreKey;
    const opened = isFirst
      ? await signal.signalDecryptPreKey(
          signal.PreKeySignalMessage.deserialize(data), ...both, this.prekeys, this.signed, this.kyber,
        )
      : await signal.signalDecrypt(signal.SignalMessage.deserialize(data), ...both);
    return Buffer.from(opened).toString();
  }
}

// What a client of libsignal keeps on its own machine, in memory.
import * as signal from '@signalapp/libsignal-client';

export class Sessions extends signal.SessionStore {
  #sessions = new Map();
  async saveSession(address, record) {
    this.#sessions.set(address.toString(), record.serialize());
  }
  async getSession(address) {
    const found = this.#sessions.get(address.toString());
    return found ? signal.SessionRecord.deserialize(found) : null;
  }
  async getExistingSessions(addresses) {
    return Promise.all(addresses.map((address) => this.getSession(address)));
  }
}

// Trusts on first use: another key of a known person is refused until `accept`.
export class Identities extends signal.IdentityKeyStore {
  #known = new Map();
  constructor(pair, registrationId) {
    super();
    this.pair = pair;
    this.registrationId = registrationId;
  }
  async getIdentityKey() {
    return this.pair.privateKey;
  }
  async getIdentityKeyPair() {
    return this.pair;
  }
  async getLocalRegistrationId() {
    return this.registrationId;
  }
  async isTrustedIdentity(address, key) {
    const known = await this.getIdentity(address);
    return known === null || known.equals(key);
  }
  async saveIdentity(address, key) {
    const isSame = await this.isTrustedIdentity(address, key);
    this.#known.set(address.toString(), key.serialize());
    return isSame ? signal.IdentityChange.NewOrUnchanged : signal.IdentityChange.ReplacedExisting;
  }
  async getIdentity(address) {
    const found = this.#known.get(address.toString());
    return found ? signal.PublicKey.deserialize(found) : null;
  }
  accept(address) {
    this.#known.delete(address.toString());
  }
}

export class Prekeys extends signal.PreKeyStore {
  records = new Map();
  async savePreKey(id, record) {
    this.records.set(id, record);
  }
  async getPreKey(id) {
    return found(this.records, id, 'one-time prekey');
  }
  async removePreKey(id) {
    this.records.delete(id);
  }
}

export class SignedPrekeys extends signal.SignedPreKeyStore {
  records = new Map();
  async saveSignedPreKey(id, record) {
    this.records.set(id, record);
  }
  async getSignedPreKey(id) {
    return found(this.records, id, 'signed prekey');
  }
}

// One-time Kyber prekeys go when they are used, the one of last resort stays.
export class KyberPrekeys extends signal.KyberPreKeyStore {
  records = new Map();
  used = [];
  constructor(lastResortId) {
    super();
    this.lastResortId = lastResortId;
  }
  async saveKyberPreKey(id, record) {
    this.records.set(id, record);
  }
  async getKyberPreKey(id) {
    return found(this.records, id, 'Kyber prekey');
  }
  async markKyberPreKeyUsed(id) {
    this.used.push(id);
    if (id !== this.lastResortId) this.records.delete(id);
  }
}

function found(records, id, what) {
  const record = records.get(id);
  if (!record) throw new Error(`there is no ${what} ${id}`);
  return record;
}

// Prints signatures made by libsignal, for tests/core/test_xeddsa.py: node vectors.mjs COUNT
import { PrivateKey } from '@signalapp/libsignal-client';
import { randomBytes } from 'node:crypto';

const hex = (data) => Buffer.from(data).toString('hex');
const vectors = Array.from({ length: Number(process.argv[2]) }, (_, number) => {
  const secret = PrivateKey.generate();
  const message = randomBytes(number * 7);
  const signature = secret.sign(message);
  const key = secret.getPublicKey();
  if (!key.verify(message, signature)) throw new Error('libsignal refuses its own signature');
  return { key: hex(key.serialize()), message: hex(message), signature: hex(signature) };
});
console.log(JSON.stringify(vectors, null, 1));

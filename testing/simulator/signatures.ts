// A cheap signature scheme for campaigns. A signature is a keyed hash, and whoever verifies looks the key up in a
// register that no node can read. So a liar signs only with seeds that it was given, as with the real scheme.

import { createHash } from 'node:crypto';
import { type Bytes, concatBytes, equalBytes, toHex, utf8 } from '../../src/base/bytes.ts';
import { publicKeySizeBytes, type SignatureScheme } from '../../src/crypto/signature.ts';

const keyTag = utf8('simulated key');
const signatureTag = utf8('simulated signature');

function signatureOf(seed: Bytes, message: Bytes): Bytes {
  return new Uint8Array(
    createHash('sha512')
      .update(concatBytes(signatureTag, seed, message))
      .digest(),
  );
}

/** A scheme whose signatures only the signers made by it can make. Keys and signatures have the real sizes. */
export function simulatedSignatures(): SignatureScheme {
  const seeds = new Map<string, Bytes>();
  return {
    signer(seed) {
      const own = new Uint8Array(seed);
      const digest = createHash('sha256').update(concatBytes(keyTag, own)).digest();
      const publicKey = new Uint8Array(digest);
      seeds.set(toHex(publicKey), own);
      return { publicKey, sign: (message) => signatureOf(own, message) };
    },
    verify(publicKey, message, signature) {
      if (publicKey.length !== publicKeySizeBytes) return false;
      const seed = seeds.get(toHex(publicKey));
      return seed !== undefined && equalBytes(signatureOf(seed, message), signature);
    },
  };
}

// Ed25519 through libsodium. One verifier everywhere: libraries differ on small-order and non-canonical keys, and a
// signature that one server accepts and another refuses would split them. libsodium refuses all that is not canonical,
// of small order, or mixed with it (test/vectors), so what it accepts every other verifier accepts too.

import sodium from 'sodium-native';
import { assert } from '../base/assert.ts';
import type { Bytes } from '../base/bytes.ts';

export const publicKeySizeBytes = 32;
const signatureSizeBytes = 64;
export const seedSizeBytes = 32;

/** Holds one private key. */
export interface Signer {
  readonly publicKey: Bytes;
  sign(message: Bytes): Bytes;
}

/** A signature scheme; the simulator has a cheap one of its own. */
export interface SignatureScheme {
  /** @param seed 32 secret bytes; the same seed gives the same key. */
  signer(seed: Bytes): Signer;
  /** Never throws: a key or signature of the wrong form is just not valid. */
  verify(publicKey: Bytes, message: Bytes, signature: Bytes): boolean;
}

function asBuffer(bytes: Bytes): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

class Ed25519Signer implements Signer {
  readonly publicKey: Bytes;
  readonly #secretKey: Buffer;

  constructor(seed: Bytes) {
    assert(seed.length === seedSizeBytes, 'a signing seed has 32 bytes');
    const publicKey = Buffer.alloc(publicKeySizeBytes);
    // Ordinary memory, as the seed is: guarded pages are three mappings each, of which a process has some 65,000, and
    // the garbage collector does not see them. Clients make a signer for every name they use.
    this.#secretKey = Buffer.alloc(sodium.crypto_sign_SECRETKEYBYTES);
    sodium.crypto_sign_seed_keypair(publicKey, this.#secretKey, asBuffer(seed));
    this.publicKey = new Uint8Array(publicKey);
  }

  sign(message: Bytes): Bytes {
    const signature = Buffer.alloc(signatureSizeBytes);
    sodium.crypto_sign_detached(signature, asBuffer(message), this.#secretKey);
    return new Uint8Array(signature.buffer, signature.byteOffset, signature.length);
  }
}

export const ed25519: SignatureScheme = {
  signer: (seed) => new Ed25519Signer(seed),
  verify(publicKey, message, signature) {
    if (publicKey.length !== publicKeySizeBytes || signature.length !== signatureSizeBytes) {
      return false;
    }
    return sodium.crypto_sign_verify_detached(
      asBuffer(signature),
      asBuffer(message),
      asBuffer(publicKey),
    );
  },
};

import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { ed25519, type SignatureScheme } from '../../src/crypto/signature.ts';
import { flipBits } from './faults.ts';
import { simulatedSignatures } from './signatures.ts';

// The real scheme must pass the same tests, or the simulated one stands for something else.
const schemes: [string, () => SignatureScheme][] = [
  ['simulated', simulatedSignatures],
  ['Ed25519', () => ed25519],
];

describe.each(schemes)('%s signatures', (_, make) => {
  const seedOf = (text: string): Uint8Array => utf8(text.padEnd(32, '.'));

  it('verify under the key of the same seed, whoever made the signer', () => {
    const scheme = make();
    const signature = scheme.signer(seedOf('a')).sign(utf8('message'));
    const { publicKey } = scheme.signer(seedOf('a'));
    expect([publicKey.length, signature.length]).toEqual([32, 64]);
    expect(scheme.verify(publicKey, utf8('message'), signature)).toBe(true);
    expect(scheme.verify(scheme.signer(seedOf('b')).publicKey, utf8('message'), signature)).toBe(
      false,
    );
  });

  it('do not survive any change to key, message or signature', () => {
    const scheme = make();
    const prng = new Prng(1);
    const { publicKey, sign } = bound(scheme, seedOf('a'));
    const message = utf8('a message of some length');
    const signature = sign(message);
    for (let i = 0; i < 100; i++) {
      expect(scheme.verify(flipBits(publicKey, 1, prng), message, signature)).toBe(false);
      expect(scheme.verify(publicKey, flipBits(message, 1, prng), signature)).toBe(false);
      expect(scheme.verify(publicKey, message, flipBits(signature, 1, prng))).toBe(false);
    }
  });

  it('are not valid when their form is wrong', () => {
    const scheme = make();
    const { publicKey, sign } = bound(scheme, seedOf('a'));
    const signature = sign(utf8('m'));
    for (const size of [0, 1, 31, 33, 64]) {
      expect(scheme.verify(new Uint8Array(size), utf8('m'), signature)).toBe(false);
    }
    for (const size of [0, 32, 63, 65]) {
      expect(scheme.verify(publicKey, utf8('m'), new Uint8Array(size))).toBe(false);
    }
    expect(scheme.verify(publicKey, utf8('m'), new Uint8Array([...signature, 0]))).toBe(false);
  });
});

interface BoundSigner {
  readonly publicKey: Uint8Array;
  readonly sign: (message: Uint8Array) => Uint8Array;
}

function bound(scheme: SignatureScheme, seed: Uint8Array): BoundSigner {
  const signer = scheme.signer(seed);
  return { publicKey: signer.publicKey, sign: (message) => signer.sign(message) };
}

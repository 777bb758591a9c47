// Verification is strict, and the vectors say so without the library: each verdict follows from the equations of RFC
// 8032 in plain integers. A library that turned lenient, or went over to the cofactor, fails here.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Bytes, fromHex, toHex } from '../../src/base/bytes.ts';
import { ed25519 } from '../../src/crypto/signature.ts';
import { examine, groupOrder, strictVerdict } from './ed25519-oracle.ts';

const bytes = z.string().transform((text) => fromHex(text) ?? new Uint8Array(0));
const vectors = z
  .array(
    z.object({
      name: z.string(),
      seed: bytes.optional(),
      publicKey: bytes,
      message: bytes,
      signature: bytes,
      equation: z.enum(['exact', 'cofactored', 'fails']),
      valid: z.boolean(),
    }),
  )
  .parse(JSON.parse(readFileSync(new URL('./ed25519.json', import.meta.url), 'utf8')));

describe.each(vectors)('$name', ({ seed, publicKey, message, signature, equation, valid }) => {
  it(valid ? 'is accepted' : 'is refused', () => {
    expect(ed25519.verify(publicKey, message, signature)).toBe(valid);
  });

  it('has the verdict that the equations give', () => {
    const findings = examine(publicKey, message, signature);
    expect(findings.equation).toBe(equation);
    expect(strictVerdict(findings)).toBe(valid);
  });

  if (seed !== undefined) {
    it('is what the seed signs', () => {
      const signer = ed25519.signer(seed);
      expect(toHex(signer.publicKey)).toBe(toHex(publicKey));
      expect(toHex(signer.sign(message))).toBe(toHex(signature));
    });
  }
});

describe('the vectors', () => {
  const named = (part: string) => vectors.filter(({ name }) => name.includes(part));

  it('cover every point of small order in both places', () => {
    expect(new Set(named('A of small order').map(({ publicKey }) => toHex(publicKey))).size).toBe(
      8,
    );
    expect(
      new Set(named('R of small order').map(({ signature }) => toHex(signature.slice(0, 32)))).size,
    ).toBe(8);
  });

  it('hold cases that only strictness refuses: the equation is met', () => {
    const onlyStrict = vectors.filter(({ valid, equation }) => !valid && equation !== 'fails');
    expect(onlyStrict.length).toBeGreaterThan(40);
    expect(groupOrder).toBe(0x1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3edn);
  });
});

describe('any signature', () => {
  const seed = fc.uint8Array({ minLength: 32, maxLength: 32 });

  it('verifies, in the library and by the equations, and no bit of it can change', () => {
    fc.assert(
      fc.property(
        seed,
        fc.uint8Array({ maxLength: 80 }),
        fc.nat({ max: 511 }),
        (key, message, bit) => {
          const signer = ed25519.signer(key);
          const signature = signer.sign(message);
          expect(ed25519.verify(signer.publicKey, message, signature)).toBe(true);
          expect(strictVerdict(examine(signer.publicKey, message, signature))).toBe(true);
          expect(ed25519.verify(signer.publicKey, message, flipped(signature, bit))).toBe(false);
          expect(ed25519.verify(flipped(signer.publicKey, bit % 256), message, signature)).toBe(
            false,
          );
        },
      ),
      { numRuns: 30, seed: 1 },
    );
  });
});

function flipped(value: Bytes, bit: number): Bytes {
  const copy = Uint8Array.from(value);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}

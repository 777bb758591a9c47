import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AssertionFailed } from '../base/assert.ts';
import { type Bytes, concatBytes, emptyBytes, toHex, utf8 } from '../base/bytes.ts';
import {
  type SignaturePurpose,
  type Statement,
  signaturePurposes,
  signedBytes,
} from './domains.ts';
import { type HashTag, hashTags, taggedHash } from './hash.ts';
import { ed25519 } from './signature.ts';

/** Ids and digests are stored and signed: none of these ever changes. Parts: "abc", nothing, one zero byte. */
const goldenDigests: Record<HashTag, string> = {
  block: '3dbcacf9f1159381e568b8fa2dfd8129bda14b69ad851a28d7a806a3e83ebab1',
  object: 'f3ae7285488a2814f5f0b8db80172ff9ae6811f6b001cf052d48ea4b6af1e5e1',
  'server-id': '3070a1945e6770f7abc4150b91c6e42d7bc6a09913c4d7a2029c2fd3c8d165ab',
  system: 'fb66207d17c600f437ef4c52ee76467f192855c2b47d45f4bde70f420d5d9670',
  parameters: '7ddc911ea617bb05af90ae3f81eb89bc123e3af4333f513bc2df22f7debc686f',
  'member-leaf': '223be365e9e4a5bc79d5bb76ca991ef11eef3a1f20cb61bd2ef2ed3d7055f125',
  'configuration-root': '40a3b4253dac07d8878ca06ce5a207909d51dfe3ca48c17fdd0fad182ca6b187',
  'epoch-certificate': '694bd53403be72fc903ed2cb5c8a6c0d5df403076128bff75bb225dcc4988856',
  instance: '29820fdf516af36fb62611df89f4c4f4c1c68d13fe0b8772148878d6da18ab86',
  holding: '909485ee5e0e77c395e775e67a084f167f8d54a2d4a81b4fbf78412736a76949',
  record: '47bb0a0151b42ba68610347f0cc1be13a4b34080a6c8d4efcd5e8f38f106d455',
  'object-key': '0a711392dfe57660f369e0f375e5761064075f8a0cb911a8fe60cbe260e0f5f1',
  writer: 'fb1438cb30ca2aaacc2606c9cc48196af9dcff8d7f2066220ac138849d1d995b',
  address: '2743865228203dd7397f95405f78dfa1f472351eb211ef29f4d8fa920ae8f5b7',
  request: '41a2a1ee9bbda2fe5f87b5fb774564c65c8638eea00145d707bbe3e0b8b85e52',
  'bundle-node': 'febf6e528802f38561651299ef63ddbb269c4967682b9a58a88594dd62e710e1',
  page: '6375184f9d1aae167d8b68a4a165d36457b22f1fe6fe98c706ffffd4379a5279',
  'page-node': '0cf085754696a5051fa8a7c8b9d3cb8a7e0e06579e3158acfa25d6dcac3358d7',
  'state-root': '242964b2c46b4fc5eca74cc23bf796a62d1d99d35df957791d7f6b5927e0e992',
  result: '09b9ceff341f72369b9c30bb17327dad8aaff8726b9a066e7fc709336be6a8c0',
  'pbft-batch': '8e427d646bd432184c09e713c369dc08e19584d8259dc7910802d7623bec0fca',
  'pbft-null': '88acf9d7fc14c4e6df43f5f782cfbb723873a11bdd59ae50cd38671e7e66d0c1',
  'pbft-view-change': '1a3a9d04d2bac6ed0814f73ebe309687a5b4e31db2b04b5257fe1405ed650a93',
  'pbft-new-view': '02e01c0595d4a8a147615dc763fd62474c0337066f69cc834344a98eae32cb7c',
};

/** The rule of docs/WIRE.md, written down again. */
function naiveHash(tag: string, parts: readonly Bytes[]): string {
  const name = utf8(`holdfast/${tag}/v1`);
  const framed = parts.flatMap((part) => {
    const size = new Uint8Array(4);
    new DataView(size.buffer).setUint32(0, part.length, true);
    return [size, part];
  });
  return createHash('sha256')
    .update(concatBytes(Uint8Array.of(name.length), name, ...framed))
    .digest('hex');
}

describe('tagged hashes', () => {
  it.each(hashTags)('%s has the digest of record', (tag) => {
    const parts = [utf8('abc'), emptyBytes, Uint8Array.of(0)];
    expect(toHex(taggedHash(tag, ...parts))).toBe(goldenDigests[tag]);
    expect(naiveHash(tag, parts)).toBe(goldenDigests[tag]);
  });

  it('follow the rule for parts of any number and size', () => {
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.integer({ min: 4000, max: 4200 }).map((length) => new Uint8Array(length)),
    );
    fc.assert(
      fc.property(fc.constantFrom(...hashTags), fc.array(part, { maxLength: 4 }), (tag, parts) => {
        expect(toHex(taggedHash(tag, ...parts))).toBe(naiveHash(tag, parts));
      }),
    );
  });

  it('give no two lists of parts one digest, however the bytes are split', () => {
    const digests = new Map<string, string>();
    for (const whole of ['', 'a', 'ab', 'abc', 'abcd', 'abcde']) {
      for (const parts of splitsOf(whole)) {
        const digest = toHex(taggedHash('block', ...parts.map(utf8)));
        const key = JSON.stringify(parts);
        expect(digests.get(digest) ?? key).toBe(key);
        digests.set(digest, key);
      }
    }
    expect(digests.size).toBeGreaterThan(50);
  });

  it('do not take their own framing for contents', () => {
    expect(toHex(taggedHash('block', Uint8Array.of(0, 0, 0, 0)))).not.toBe(
      toHex(taggedHash('block', emptyBytes, emptyBytes)),
    );
  });

  it('do not change with what the caller does afterwards', () => {
    const digest = taggedHash('block', utf8('abc'));
    const before = toHex(digest);
    for (let i = 0; i < 100; i++) taggedHash('object', Uint8Array.of(i));
    expect(toHex(digest)).toBe(before);
  });
});

/** All ways to cut a text into up to three parts, with empty parts at the ends. */
function splitsOf(whole: string): string[][] {
  const splits: string[][] = [[whole], [whole, ''], ['', whole], ['', whole, '']];
  for (let i = 1; i < whole.length; i++) {
    splits.push([whole.slice(0, i), whole.slice(i)]);
    for (let j = i; j < whole.length; j++)
      splits.push([whole.slice(0, i), whole.slice(i, j), whole.slice(j)]);
  }
  return [...new Map(splits.map((parts) => [JSON.stringify(parts), parts])).values()];
}

describe('tags', () => {
  it('are distinct, also between hashing and signing, and none begins another in its encoded form', () => {
    const encoded = [
      ...hashTags.map((tag) => `holdfast/${tag}/v1`),
      ...signaturePurposes.map((purpose) => `holdfast/signed/${purpose}/v1`),
    ].map((name) => `${String.fromCharCode(name.length)}${name}`);
    for (const a of encoded) {
      for (const b of encoded) expect(a !== b && b.startsWith(a)).toBe(false);
    }
    expect(new Set(encoded).size).toBe(hashTags.length + signaturePurposes.length);
  });
});

describe('signed bytes', () => {
  const system = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const statement: fc.Arbitrary<Statement> = fc.record({
    purpose: fc.constantFrom<SignaturePurpose>(...signaturePurposes),
    system: fc.oneof(fc.constant(new Uint8Array(32)), system),
    scope: fc.oneof(fc.constantFrom(0, 1, 2 ** 53 - 1), fc.maxSafeNat()),
    body: fc.oneof(fc.constant(emptyBytes), fc.uint8Array({ maxLength: 60 })),
  });

  it('have the written form', () => {
    const bytes = signedBytes({
      purpose: 'object-version',
      system: new Uint8Array(32).fill(0xaa),
      scope: 258,
      body: Uint8Array.of(7),
    });
    const tag = 'holdfast/signed/object-version/v1';
    expect(toHex(bytes)).toBe(
      `${tag.length.toString(16)}${toHex(utf8(tag))}${'aa'.repeat(32)}000000000000010207`,
    );
  });

  it('are equal only for equal statements', () => {
    const key = ({ purpose, system, scope, body }: Statement): string =>
      [purpose, toHex(system), scope, toHex(body)].join();
    fc.assert(
      fc.property(statement, statement, (a, b) => {
        expect(toHex(signedBytes(a)) === toHex(signedBytes(b))).toBe(key(a) === key(b));
      }),
      { numRuns: 2000 },
    );
  });

  it('change with purpose, system, scope and body, so that a signature serves nothing else', () => {
    const signer = ed25519.signer(new Uint8Array(32).fill(1));
    const base: Statement = {
      purpose: 'epoch-certificate',
      system: new Uint8Array(32),
      scope: 3,
      body: utf8('body'),
    };
    const signature = signer.sign(signedBytes(base));
    const verify = (other: Partial<Statement>): boolean =>
      ed25519.verify(signer.publicKey, signedBytes({ ...base, ...other }), signature);
    expect(verify({})).toBe(true);
    for (const purpose of signaturePurposes)
      expect(verify({ purpose })).toBe(purpose === base.purpose);
    expect(verify({ system: new Uint8Array(32).fill(1) })).toBe(false);
    expect(verify({ scope: 4 })).toBe(false);
    expect(verify({ body: utf8('bodY') })).toBe(false);
  });
});

describe('signing keys', () => {
  it('can be held by the tens of thousands', () => {
    const seed = new Uint8Array(32);
    const signers = Array.from({ length: 30_000 }, () => ed25519.signer(seed));
    expect(new Set(signers.map(({ publicKey }) => toHex(publicKey))).size).toBe(1);
  });

  it('come from 32 secret bytes, and signing is deterministic', () => {
    const [a, b] = [
      ed25519.signer(new Uint8Array(32).fill(9)),
      ed25519.signer(new Uint8Array(32).fill(9)),
    ];
    expect(toHex(a.publicKey)).toBe(toHex(b.publicKey));
    expect(toHex(a.sign(utf8('x')))).toBe(toHex(b.sign(utf8('x'))));
    expect(() => ed25519.signer(new Uint8Array(31))).toThrow(AssertionFailed);
  });

  it('verification never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 70 }),
        fc.uint8Array({ maxLength: 70 }),
        fc.uint8Array({ maxLength: 70 }),
        (key, message, signature) => {
          expect(ed25519.verify(key, message, signature)).toBe(false);
        },
      ),
      { numRuns: 1000 },
    );
    const sized = (sizeBytes: number) =>
      fc.uint8Array({ minLength: sizeBytes, maxLength: sizeBytes });
    fc.assert(
      fc.property(
        sized(32),
        sized(64),
        (key, signature) => !ed25519.verify(key, emptyBytes, signature),
      ),
    );
  });
});

// Writes ed25519.json: `npx tsx test/vectors/generate-ed25519.ts`. The cases are made so that as little as possible is
// wrong with each: where the key is of small order, the equation holds all the same.

import { writeFileSync } from 'node:fs';
import { type Bytes, concatBytes, fromHex, toHex, utf8 } from '../../src/base/bytes.ts';
import {
  add,
  basePoint,
  bytesOf,
  decodePoint,
  encodePoint,
  examine,
  groupOrder,
  identity,
  multiply,
  type Point,
  p,
  sha512,
  strictVerdict,
} from './ed25519-oracle.ts';

interface Case {
  readonly name: string;
  readonly seed?: string;
  readonly publicKey: Bytes;
  readonly message: Bytes;
  readonly signature: Bytes;
}

const hex = (text: string): Bytes => fromHex(text) ?? new Uint8Array(0);
const cases: Case[] = [];

// RFC 8032, section 7.1: name, seed, public key, message, signature.
const rfc8032 = [
  [
    'TEST 1',
    '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    '',
    'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  ],
  [
    'TEST 2',
    '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    '72',
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  ],
  [
    'TEST 3',
    'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    'af82',
    '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
  ],
  [
    'TEST SHA(abc)',
    '833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42',
    'ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf',
    'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
    'dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704',
  ],
] as const;
for (const [name, seed, publicKey, message, signature] of rfc8032) {
  cases.push({
    name: `RFC 8032 ${name}`,
    seed,
    publicKey: hex(publicKey),
    message: hex(message),
    signature: hex(signature),
  });
}

const secret = 0x1234567890abcdefn ** 3n % groupOrder;
const nonce = 0xfedcba987654321n ** 3n % groupOrder;
const honestKey = encodePoint(multiply(secret, basePoint));
const honestR = encodePoint(multiply(nonce, basePoint));
const text = utf8('holdfast');

/** S of a signature by `scalar` with these encodings of R and A, where R is nonce times the base point, plus torsion. */
function response(
  encodedR: Bytes,
  publicKey: Bytes,
  message: Bytes,
  scalar: bigint,
  r: bigint,
): bigint {
  return (r + sha512(encodedR, publicKey, message) * scalar) % groupOrder;
}

const honestS = response(honestR, honestKey, text, secret, nonce);
const honest = concatBytes(honestR, bytesOf(honestS));
function about(name: string, publicKey: Bytes, message: Bytes, signature: Bytes): void {
  cases.push({ name, publicKey, message, signature });
}

about('honest signature', honestKey, text, honest);
about('another message', honestKey, utf8('holdfasT'), honest);
about('no message', honestKey, new Uint8Array(0), honest);
about('another key', encodePoint(multiply(secret + 1n, basePoint)), text, honest);
for (const [what, bit] of [
  ['R', 3],
  ['sign of R', 255],
  ['S', 256],
  ['high half of S', 500],
] as const) {
  const flipped = Uint8Array.from(honest);
  flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  about(`one bit of ${what} flipped`, honestKey, text, flipped);
}
about(
  'sign of A flipped',
  encodePoint({ ...multiply(secret, basePoint), x: p - multiply(secret, basePoint).x }),
  text,
  honest,
);
about('S negated', honestKey, text, concatBytes(honestR, bytesOf(groupOrder - honestS)));
about('R and S of zero bytes', honestKey, text, new Uint8Array(64));
about('all bytes zero', new Uint8Array(32), text, new Uint8Array(64));
about('all bytes 255', new Uint8Array(32).fill(255), text, new Uint8Array(64).fill(255));

// Malleable S: the equation holds for S plus any multiple of the order.
for (let k = 1n; honestS + k * groupOrder < 2n ** 256n; k += k < 8n ? 1n : 3n) {
  about(
    `S + ${k} times the order`,
    honestKey,
    text,
    concatBytes(honestR, bytesOf(honestS + k * groupOrder)),
  );
}
about('S equal to the order', honestKey, text, concatBytes(honestR, bytesOf(groupOrder)));
about('S one below the order', honestKey, text, concatBytes(honestR, bytesOf(groupOrder - 1n)));

// Lengths.
for (const length of [0, 1, 32, 63])
  about(`signature cut to ${length} bytes`, honestKey, text, honest.slice(0, length));
about('signature with a byte more', honestKey, text, concatBytes(honest, new Uint8Array(1)));
for (const length of [0, 31])
  about(`key cut to ${length} bytes`, honestKey.slice(0, length), text, honest);
about('key with a byte more', concatBytes(honestKey, new Uint8Array(1)), text, honest);

// The eight points of small order, as multiples of one of order 8.
function pointOfOrder8(): Point {
  for (let y = 2n; ; y++) {
    const point = decodePoint(bytesOf(y));
    const torsion = point && multiply(groupOrder, point);
    if (torsion !== undefined && multiply(4n, torsion).y !== 1n) return torsion;
  }
}
const generator = pointOfOrder8();
const torsion = Array.from({ length: 8 }, (_, i) =>
  i === 0 ? identity : multiply(BigInt(i), generator),
);

/** A message whose hash is a multiple of 8, so that what is of small order in A vanishes from the equation. */
function messageWith(encodedR: Bytes, publicKey: Bytes, wanted: (h: bigint) => boolean): Bytes {
  for (let i = 0; ; i++) {
    const message = utf8(`holdfast ${i}`);
    if (wanted(sha512(encodedR, publicKey, message))) return message;
  }
}
const vanishes = (h: bigint): boolean => h % 8n === 0n;
const remains = (h: bigint): boolean => h % 8n !== 0n;

torsion.forEach((point, i) => {
  const encoded = encodePoint(point);
  const message = messageWith(honestR, encoded, vanishes);
  about(
    `A of small order, ${i} eighths, equation exact`,
    encoded,
    message,
    concatBytes(honestR, bytesOf(nonce)),
  );
  const s = response(encoded, honestKey, text, secret, 0n);
  about(`R of small order, ${i} eighths`, honestKey, text, concatBytes(encoded, bytesOf(s)));
  about(
    `A and R of small order, ${i} eighths, S zero`,
    encoded,
    text,
    concatBytes(encoded, new Uint8Array(32)),
  );
});

// Encodings that are not the shortest: y at or above the prime, or the sign of an x that is zero.
const nonCanonical: ReadonlyArray<readonly [string, bigint]> = [
  ['identity as y = p + 1', p + 1n],
  ['identity as y = p + 1 with sign', (p + 1n) | (1n << 255n)],
  ['identity with sign', 1n | (1n << 255n)],
  ['order 2 with sign', (p - 1n) | (1n << 255n)],
  ['order 4 as y = p', p],
  ['order 4 as y = p with sign', p | (1n << 255n)],
  ['large order as y = p + 3', p + 3n],
  ['large order as y = p + 18', p + 18n],
  ['large order as y = p + 3 with sign', (p + 3n) | (1n << 255n)],
];
for (const [what, value] of nonCanonical) {
  const encoded = bytesOf(value);
  const message = messageWith(honestR, encoded, vanishes);
  about(`A not canonical: ${what}`, encoded, message, concatBytes(honestR, bytesOf(nonce)));
  const s = response(encoded, honestKey, text, secret, 0n);
  about(`R not canonical: ${what}`, honestKey, text, concatBytes(encoded, bytesOf(s)));
}

// Not on the curve.
let off = 2n;
while (decodePoint(bytesOf(off)) !== undefined) off += 1n;
about('A not on the curve', bytesOf(off), text, honest);
about('R not on the curve', honestKey, text, concatBytes(bytesOf(off), bytesOf(honestS)));

// Large order with a torsion part. Only a signer that made such a key or nonce can meet these; verifiers with and
// without the cofactor differ on those where the torsion does not vanish.
const mixedKey = encodePoint(add(multiply(secret, basePoint), generator));
for (const [what, wanted] of [
  ['vanishes', vanishes],
  ['remains', remains],
] as const) {
  const message = messageWith(honestR, mixedKey, wanted);
  const s = response(honestR, mixedKey, message, secret, nonce);
  about(`A with a torsion part that ${what}`, mixedKey, message, concatBytes(honestR, bytesOf(s)));
}
const mixedR = encodePoint(add(multiply(nonce, basePoint), generator));
about(
  'R with a torsion part',
  honestKey,
  text,
  concatBytes(mixedR, bytesOf(response(mixedR, honestKey, text, secret, nonce))),
);
const cancelling = messageWith(mixedR, mixedKey, (h) => h % 8n === 7n);
about(
  'A and R with torsion parts that cancel',
  mixedKey,
  cancelling,
  concatBytes(mixedR, bytesOf(response(mixedR, mixedKey, cancelling, secret, nonce))),
);

const written = cases.map(({ name, seed, publicKey, message, signature }) => {
  const findings = examine(publicKey, message, signature);
  return {
    name,
    ...(seed === undefined ? {} : { seed }),
    publicKey: toHex(publicKey),
    message: toHex(message),
    signature: toHex(signature),
    equation: findings.equation,
    valid: strictVerdict(findings),
  };
});
const lines = written.map((entry) => `  ${JSON.stringify(entry)}`).join(',\n');
writeFileSync(new URL('./ed25519.json', import.meta.url), `[\n${lines}\n]\n`);

import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { createIdentity, proofOf } from './identity.ts';

// RFC 8032, section 7.1, test 1.
const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');
const publicKey = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';

test('an identity is the key of its seed, and its certificate says so', async () => {
  const identity = await createIdentity(seed);
  expect(identity.peer).toBe(publicKey);
  const certificate = new X509Certificate(identity.certificatePem);
  expect(proofOf(certificate)).toEqual({ peer: publicKey, keys: undefined });
  expect(certificate.verify(certificate.publicKey)).toBe(true);
});

test('the same seed gives the same certificate, another seed another key', async () => {
  const [one, same, other] = await Promise.all([
    createIdentity(seed),
    createIdentity(seed),
    createIdentity(new Uint8Array(32)),
  ]);
  expect(same).toEqual(one);
  expect(other.peer).not.toBe(one.peer);
});

test('a certificate over any other kind of key names nobody', async () => {
  const identity = await createIdentity(seed);
  const certificate = new X509Certificate(identity.certificatePem);
  for (const publicKey of [
    generateKeyPairSync('ed448').publicKey,
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey,
  ]) {
    expect(proofOf(withKey(certificate, () => publicKey))).toBe('no-ed25519-certificate');
  }
  expect(
    proofOf(
      withKey(certificate, () => {
        throw new TypeError('does not parse');
      }),
    ),
  ).toBe('no-ed25519-certificate');
  expect(proofOf(undefined)).toBe('no-ed25519-certificate');
});

function withKey(certificate: X509Certificate, publicKey: () => unknown): X509Certificate {
  return new Proxy(certificate, {
    get: (_, name) => (name === 'publicKey' ? publicKey() : undefined),
  });
}

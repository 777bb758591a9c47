// A node is its Ed25519 key. TLS wants a certificate, so the key signs one over itself; nothing in it but the key
// counts, and there is no authority, name or date to check. Who may use which key is decided above.
import 'reflect-metadata';
import {
  createPrivateKey,
  createPublicKey,
  type JsonWebKey,
  type KeyObject,
  webcrypto,
  type X509Certificate,
} from 'node:crypto';
import { X509CertificateGenerator } from '@peculiar/x509';
import { assert } from '../base/assert.ts';
import type { PeerId } from '../base/brand.ts';
import { type Bytes, concatBytes, toHex } from '../base/bytes.ts';

export interface Identity {
  readonly peer: PeerId;
  /** The raw Ed25519 public key, 32 bytes. */
  readonly publicKey: Bytes;
  readonly certificatePem: string;
  /** Secret. */
  readonly privateKeyPem: string;
}

/** What stands before the 32 bytes of an Ed25519 seed in PKCS #8 (RFC 8410, section 7). */
const pkcs8Prefix = Uint8Array.of(48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32);

/** The TLS identity of a 32-byte Ed25519 seed. The same seed gives the same certificate. */
export async function createIdentity(seed: Bytes): Promise<Identity> {
  assert(seed.length === 32, 'an Ed25519 seed has 32 bytes');
  const pkcs8 = concatBytes(pkcs8Prefix, seed);
  const key = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
  const publicKey = rawPublicKey(createPublicKey(key));
  assert(publicKey !== undefined, 'an Ed25519 seed gives an Ed25519 key');

  const algorithm = { name: 'Ed25519' };
  const subtle = webcrypto.subtle;
  const signingKey = await subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']);
  const verifyingKey = await subtle.importKey('raw', publicKey, algorithm, true, ['verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: '01',
      name: 'CN=holdfast',
      // Validity is the configuration's matter; these dates only have to be there.
      notBefore: new Date('2020-01-01T00:00:00Z'),
      notAfter: new Date('2049-12-31T00:00:00Z'),
      signingAlgorithm: algorithm,
      keys: { privateKey: signingKey, publicKey: verifyingKey },
    },
    webcrypto,
  );
  return {
    peer: toHex(publicKey) as PeerId,
    publicKey,
    certificatePem: certificate.toString('pem'),
    privateKeyPem: key.export({ format: 'pem', type: 'pkcs8' }).toString(),
  };
}

/**
 * Who presented `certificate`: its raw key, or undefined when that is not Ed25519. The TLS handshake has proved that
 * the peer holds the key.
 */
export function peerIdOf(certificate: X509Certificate | undefined): PeerId | undefined {
  if (certificate === undefined) return undefined;
  try {
    const raw = rawPublicKey(certificate.publicKey);
    return raw === undefined ? undefined : (toHex(raw) as PeerId);
  } catch {
    // The peer wrote the certificate: a key that does not parse is its fault, not ours.
    return undefined;
  }
}

function rawPublicKey(key: KeyObject): Bytes | undefined {
  if (key.asymmetricKeyType !== 'ed25519') return undefined;
  const jwk: JsonWebKey = key.export({ format: 'jwk' });
  if (jwk.x === undefined) return undefined;
  const raw = new Uint8Array(Buffer.from(jwk.x, 'base64url'));
  return raw.length === 32 ? raw : undefined;
}

// A node is its Ed25519 key. TLS wants a certificate, so the key signs one over itself; nothing in it but the key
// counts, and there is no authority, name or date to check. Who may use which key is decided above. A node whose identity
// key is kept elsewhere has a key for its channels, and its certificate holds the identity's word for that one.
import 'reflect-metadata';
import {
  createPrivateKey,
  createPublicKey,
  type JsonWebKey,
  type KeyObject,
  webcrypto,
  type X509Certificate,
} from 'node:crypto';
import {
  type Extension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { assert } from '../base/assert.ts';
import type { PeerId } from '../base/brand.ts';
import { type Bytes, concatBytes, toHex } from '../base/bytes.ts';
import {
  type Credential,
  checkCredential,
  credentialUri,
  hasCredential,
  type ProvenKey,
} from './credential.ts';

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
  const { publicKey, ...rest } = await certify(seed, []);
  return { peer: toHex(publicKey) as PeerId, publicKey, ...rest };
}

/** An identity that is present by its word for a channel key only, whose seed this is. */
export async function createChannelIdentity(
  seed: Bytes,
  vouchFor: (channelKey: Bytes) => Promise<Credential>,
): Promise<Identity> {
  const credential = await vouchFor(publicKeyOf(privateKeyOf(seed)));
  const name = { type: 'url' as const, value: credentialUri(credential) };
  const { certificatePem, privateKeyPem } = await certify(seed, [
    new SubjectAlternativeNameExtension([name]),
  ]);
  const { identity: publicKey } = credential;
  return { peer: toHex(publicKey) as PeerId, publicKey, certificatePem, privateKeyPem };
}

function privateKeyOf(seed: Bytes): KeyObject {
  assert(seed.length === 32, 'an Ed25519 seed has 32 bytes');
  const pkcs8 = Buffer.from(concatBytes(pkcs8Prefix, seed));
  return createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
}

function publicKeyOf(key: KeyObject): Bytes {
  const publicKey = rawPublicKey(createPublicKey(key));
  assert(publicKey !== undefined, 'an Ed25519 seed gives an Ed25519 key');
  return publicKey;
}

async function certify(seed: Bytes, extensions: Extension[]): Promise<Omit<Identity, 'peer'>> {
  const key = privateKeyOf(seed);
  const publicKey = publicKeyOf(key);
  const pkcs8 = concatBytes(pkcs8Prefix, seed);
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
      extensions,
    },
    webcrypto,
  );
  return {
    publicKey,
    certificatePem: certificate.toString('pem'),
    privateKeyPem: key.export({ format: 'pem', type: 'pkcs8' }).toString(),
  };
}

export type CertificateRefusal = 'no-ed25519-certificate' | 'channel-key-not-signed';

/** Who presented a certificate, and with which keys unless with that of its identity. */
export interface Proof {
  readonly peer: PeerId;
  readonly keys: Omit<ProvenKey, 'peer'> | undefined;
}

/**
 * Who presented `certificate`, or why that is nobody. The TLS handshake has proved that the peer holds its key.
 * @param system in which an identity has to vouch for a channel key; undefined where none are taken.
 */
export function proofOf(
  certificate: X509Certificate | undefined,
  system?: Bytes,
): Proof | CertificateRefusal {
  if (certificate === undefined) return 'no-ed25519-certificate';
  try {
    const raw = rawPublicKey(certificate.publicKey);
    if (raw === undefined) return 'no-ed25519-certificate';
    const names = certificate.subjectAltName;
    if (!hasCredential(names)) return { peer: toHex(raw) as PeerId, keys: undefined };
    const proven = system && checkCredential(names, raw, system);
    if (proven === undefined) return 'channel-key-not-signed';
    const { peer, ...keys } = proven;
    return { peer, keys };
  } catch {
    // The peer wrote the certificate: a key that does not parse is its fault, not ours.
    return 'no-ed25519-certificate';
  }
}

function rawPublicKey(key: KeyObject): Bytes | undefined {
  if (key.asymmetricKeyType !== 'ed25519') return undefined;
  const jwk: JsonWebKey = key.export({ format: 'jwk' });
  if (jwk.x === undefined) return undefined;
  const raw = new Uint8Array(Buffer.from(jwk.x, 'base64url'));
  return raw.length === 32 ? raw : undefined;
}

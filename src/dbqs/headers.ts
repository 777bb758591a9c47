// Headers of object versions: signed by the object's key over system, object, version and length (protocols D.1), so
// that a header proves itself without the data, and cannot serve for another object under the same key.

import type { Bytes } from '../base/bytes.ts';
import { concatBytes, equalBytes, mapKey, uint64Bytes } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { signedBytes } from '../crypto/domains.ts';
import { taggedHash } from '../crypto/hash.ts';
import type { SignatureScheme, Signer } from '../crypto/signature.ts';
import type { HeaderScheme } from '../registers/rules/dissemination.ts';
import { compareTimestamps, writerIdSizeBytes } from '../registers/timestamp.ts';
import { type ObjectHeader, ObjectVersion } from '../wire/types.ts';
import { blockId, objectId } from './ids.ts';

/** Verified headers that are remembered, so that the equal headers of a quorum cost one verification. */
const rememberedMax = 1024;

/** Digest of an object's data, as its version names it. */
export function dataDigest(data: Bytes): Bytes {
  return blockId(data);
}

/** Identifies a writing process: two processes under one client key differ by their random part. */
export function writerId(clientKey: Bytes, processNonce: Bytes): Bytes {
  return taggedHash('writer', clientKey, processNonce).subarray(0, writerIdSizeBytes);
}

interface VerifiedHeader {
  readonly object: Bytes;
  readonly header: ObjectHeader;
}

/** Checks headers of one system. */
export class HeaderVerifier {
  readonly #system: Bytes;
  readonly #scheme: SignatureScheme;
  readonly #verified = new Map<string, VerifiedHeader>();

  constructor(system: Bytes, scheme: SignatureScheme) {
    this.#system = system;
    this.#scheme = scheme;
  }

  /** True if `header` is a version of `object`, signed by the key that the object's id is the hash of. */
  verify(object: Bytes, header: ObjectHeader): boolean {
    if (header.version.counter < 1) return false;
    const memo = mapKey(header.signature);
    const known = this.#verified.get(memo);
    if (known !== undefined && equalBytes(known.object, object) && isSame(known.header, header))
      return true;
    if (!equalBytes(objectId(header.publicKey), object)) return false;
    if (
      !this.#scheme.verify(
        header.publicKey,
        versionBytes(this.#system, object, header),
        header.signature,
      )
    ) {
      return false;
    }
    this.#remember(memo, { object, header });
    return true;
  }

  /** Takes a header that this process has just signed for verified. */
  vouch(object: Bytes, header: ObjectHeader): void {
    this.#remember(mapKey(header.signature), { object, header });
  }

  matches(header: ObjectHeader, data: Bytes): boolean {
    return data.length === header.length && equalBytes(dataDigest(data), header.version.digest);
  }

  #remember(memo: string, verified: VerifiedHeader): void {
    if (this.#verified.size >= rememberedMax) {
      const [oldest] = this.#verified.keys();
      if (oldest !== undefined) this.#verified.delete(oldest);
    }
    this.#verified.set(memo, verified);
  }
}

/** Adds signing to verification, for a client that holds the object's key. */
export function headerScheme(
  verifier: HeaderVerifier,
  system: Bytes,
  writer: Bytes,
  signer: Signer | undefined,
): HeaderScheme {
  return {
    verify: (object, header) => verifier.verify(object, header),
    matches: (header, data) => verifier.matches(header, data),
    sign(counter, data) {
      if (signer === undefined) {
        throw new HoldfastError(
          'not-permitted',
          'this object belongs to a key that you do not hold',
          {
            cure: 'Import its key with `holdfast key import`, or write under a name of your own.',
          },
        );
      }
      const version = { counter, writer, digest: dataDigest(data) };
      const unsigned = { publicKey: signer.publicKey, version, length: data.length };
      const object = objectId(signer.publicKey);
      const signature = signer.sign(versionBytes(system, object, unsigned));
      const header = { ...unsigned, signature };
      verifier.vouch(object, header);
      return header;
    },
  };
}

/** True for headers that agree in all but the signature. */
function isSame(a: ObjectHeader, b: ObjectHeader): boolean {
  return (
    a.length === b.length &&
    compareTimestamps(a.version, b.version) === 0 &&
    equalBytes(a.publicKey, b.publicKey)
  );
}

function versionBytes(
  system: Bytes,
  object: Bytes,
  header: { version: ObjectVersion; length: number },
): Bytes {
  return signedBytes({
    purpose: 'object-version',
    system,
    scope: header.version.counter,
    body: concatBytes(object, ObjectVersion.serialize(header.version), uint64Bytes(header.length)),
  });
}

// The only module that makes bytes to be signed. Each purpose has its tag; each statement names the system and the
// epoch or counter it belongs to, so that no signature can be used for another purpose, system or time.

import type { Bytes } from '../base/bytes.ts';
import { concatBytes, uint64Bytes, utf8 } from '../base/bytes.ts';

/** Every purpose for which something is signed. Append only. */
export const signaturePurposes = [
  'server-certificate',
  'client-certificate',
  'epoch-certificate',
  'object-version',
  'client-bundle',
  'checkpoint',
  'view-change',
  'new-view',
  'new-key',
  'recovery',
] as const;

export type SignaturePurpose = (typeof signaturePurposes)[number];

export interface Statement {
  readonly purpose: SignaturePurpose;
  /** The system's id, 32 bytes. */
  readonly system: Bytes;
  /** Epoch, or the version counter of an object. */
  readonly scope: number;
  /** Canonical encoding of what is stated. */
  readonly body: Bytes;
}

const tags = new Map<SignaturePurpose, Bytes>(
  signaturePurposes.map((purpose) => {
    const name = utf8(`holdfast/signed/${purpose}/v1`);
    return [purpose, concatBytes(new Uint8Array([name.length]), name)];
  }),
);

/** The bytes that a signature for this statement covers. */
export function signedBytes(statement: Statement): Bytes {
  return concatBytes(
    tags.get(statement.purpose) as Bytes,
    statement.system,
    uint64Bytes(statement.scope),
    statement.body,
  );
}

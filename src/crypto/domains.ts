// The only module that makes bytes to be signed. Each purpose has its tag; each statement names the system and the
// epoch or counter it belongs to, so that no signature can be used for another purpose, system or time.

import type { Bytes } from '../base/bytes.ts';
import { concatBytes, equalBytes, uint64Bytes, utf8 } from '../base/bytes.ts';

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
  'channel-key',
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

const purposes = [...tags].map(([purpose, tag]) => ({ purpose, tag }));

/** What bytes to be signed state, for who signs for others: undefined unless just `signedBytes` could have made them. */
export function statementOf(bytes: Bytes): Statement | undefined {
  for (const { purpose, tag } of purposes) {
    if (!equalBytes(bytes.subarray(0, tag.length), tag)) continue;
    const [system, scope, body] = [tag.length, tag.length + 32, tag.length + 40];
    if (bytes.length < body) return undefined;
    const number = Number(new DataView(bytes.buffer, bytes.byteOffset + scope).getBigUint64(0));
    if (!Number.isSafeInteger(number)) return undefined;
    return {
      purpose,
      system: bytes.subarray(system, scope),
      scope: number,
      body: bytes.subarray(body),
    };
  }
  return undefined;
}

// A replica's records: one byte of kind, then SSZ. What must be durable before which message leaves:
//   PRE-PREPARE, PREPARE      accepted, body
//   COMMIT, tentative reply   prepared
//   VIEW-CHANGE               leftView: target, P and Q stand in the message itself, which is sent again byte for byte
//   NEW-VIEW, sent or taken   enteredView, and `accepted` of all its batches that are here
//   a raised water mark       stable
//   CHECKPOINT                voted
//   a status that doubts      doubted

import type { Bytes } from '../../base/bytes.ts';
import * as wire from '../../wire/pbft.ts';
import { decodeAs } from '../../wire/registry.ts';

const types = {
  accepted: { kind: 1, type: wire.AcceptedRecord },
  prepared: { kind: 2, type: wire.AcceptedRecord },
  body: { kind: 3, type: wire.BodyRecord },
  leftView: { kind: 4, type: wire.ViewChange },
  /** A VIEW-CHANGE of another member on which the NEW-VIEW recorded next rests. */
  supportedView: { kind: 5, type: wire.ViewChange },
  enteredView: { kind: 6, type: wire.NewView },
  stable: { kind: 7, type: wire.Certificate },
  executed: { kind: 8, type: wire.ExecutedRecord },
  /** The newest change of keys of each member, its own before anything of the recovery that it begins. */
  newKey: { kind: 9, type: wire.NewKey },
  recovered: { kind: 10, type: wire.RecoveredRecord },
  voted: { kind: 11, type: wire.VotedRecord },
  doubted: { kind: 12, type: wire.DoubtedRecord },
} as const;

type Kinds = typeof types;
type RecordName = keyof Kinds;
type RecordValue<Name extends RecordName> = ReturnType<Kinds[Name]['type']['deserialize']>;
export type PbftRecord = {
  [Name in RecordName]: { readonly name: Name; readonly value: RecordValue<Name> };
}[RecordName];

const names = new Map<number, RecordName>(
  Object.entries(types).map(([name, { kind }]) => [kind, name as RecordName]),
);

interface Codec<T> {
  serialize(value: T): Bytes;
  deserialize(bytes: Bytes): T;
}

export function encodeRecord<Name extends RecordName>(name: Name, value: RecordValue<Name>): Bytes {
  const codec = types[name].type as unknown as Codec<RecordValue<Name>>;
  const body = codec.serialize(value);
  const bytes = new Uint8Array(1 + body.length);
  bytes[0] = types[name].kind;
  bytes.set(body, 1);
  return bytes;
}

/** Undefined for what this version did not write. */
export function decodeRecord(bytes: Bytes): PbftRecord | undefined {
  const name = names.get(bytes[0] ?? 0);
  if (name === undefined) return undefined;
  const value = decodeAs<unknown>(types[name].type, bytes.subarray(1));
  // The table ties name and type together; the compiler cannot follow that through the look-up.
  return value === undefined ? undefined : ({ name, value } as PbftRecord);
}

// Messages and records as somebody may have altered them: what still is one is given to a member as it is.

import { type Bytes, equalBytes } from '../base/bytes.ts';
import {
  decodeReplicationMessage,
  encodeReplicationMessage,
  type ReplicationMessage,
  replicationMessageNumber,
} from '../wire/replication-registry.ts';

/** How something is altered: drawn numbers, whatever they are. */
export interface Bend {
  /** What is done, of several things. */
  readonly how: number;
  /** Where. */
  readonly at: number;
  /** With what. */
  readonly with: number;
}

/** Numbers at which something may go wrong. */
const numbers = [0, 1, 2, 3, 4, 5, 8, 9, 255, 65_535, 2 ** 32, 2 ** 36, 2 ** 53 - 1] as const;

function picked<T>(items: readonly T[], at: number): T {
  return items[at % items.length] as T;
}

/** Some bytes are others, or fewer, or more. */
export function bentBytes(bytes: Bytes, { how, at, with: value }: Bend): Bytes {
  const place = at % Math.max(1, bytes.length);
  if (how % 6 === 0) return bytes.slice(0, place);
  if (how % 6 === 1) return Uint8Array.from([...bytes, ...bytes.slice(place)]);
  const bent = bytes.slice();
  if (how % 6 === 2) {
    // A number of eight bytes, wherever that may be.
    const number = new DataView(new ArrayBuffer(8));
    number.setBigUint64(0, BigInt(picked(numbers, value)), true);
    bent.set(new Uint8Array(number.buffer).subarray(0, bytes.length - place), place);
  } else if (place < bent.length) bent[place] = (bent[place] as number) ^ (1 + (value % 255));
  return bent;
}

type Change = (value: number) => void;

/** Every way in which one thing inside may be changed. @param isDeep also within what is inside. */
function* changesOf(
  holder: Record<string, unknown> | unknown[],
  isDeep: boolean,
): Generator<Change> {
  for (const [key, inner] of Object.entries(holder)) {
    const put = (value: unknown): void => {
      Object.assign(holder, { [key]: value });
    };
    if (typeof inner === 'number') yield (value) => put(picked(numbers, value));
    else if (inner instanceof Uint8Array) {
      yield (value) => put(bentBytes(inner, { how: 3, at: value, with: value }));
    } else if (Array.isArray(inner)) {
      yield (value) => put(value % 2 === 0 ? inner.slice(1) : [...inner, ...inner.slice(0, 1)]);
      if (inner.length > 1) yield () => inner.reverse();
      if (isDeep) yield* changesOf(inner, isDeep);
    } else if (isDeep && typeof inner === 'object' && inner !== null) {
      yield* changesOf(inner as Record<string, unknown>, isDeep);
    }
  }
}

/** Decodes as a member does that receives it. */
function received(
  name: ReplicationMessage['name'],
  payload: Bytes,
): ReplicationMessage | undefined {
  return decodeReplicationMessage(replicationMessageNumber(name), payload);
}

function payloadOf({ name, value }: ReplicationMessage): Bytes | undefined {
  try {
    return encodeReplicationMessage(name, value as never);
  } catch {
    // Too long a list, or a number that fits nowhere: nobody can send that.
    return undefined;
  }
}

/** @returns another message of the same name; undefined: nobody would take it for one, or it is the same. */
export function bentMessage(
  message: ReplicationMessage,
  bend: Bend,
): ReplicationMessage | undefined {
  const { name } = message;
  const original = encodeReplicationMessage(name, message.value as never);
  let payload: Bytes | undefined;
  if (bend.how % 3 === 0) payload = bentBytes(original, { ...bend, how: bend.how / 3 });
  else {
    const copy = received(name, original.slice()) as ReplicationMessage;
    picked([...changesOf(copy.value, bend.how % 3 === 1)], bend.at)(bend.with);
    payload = payloadOf(copy);
  }
  if (payload === undefined || equalBytes(payload, original)) return undefined;
  return received(name, payload);
}

// Message numbers. Append only: a number is never given a second meaning, 0 is the transport's, retired ones keep their name.
// Here, and nowhere else, bytes become typed messages and back.

import type { Type, ValueOf } from '@chainsafe/ssz';
import type { Bytes } from '../base/bytes.ts';
import { limits } from './limits.ts';
import * as types from './types.ts';

/** Names of all messages; the type of each is the schema of that name in types.ts. */
export const messageNames = [
  'hello',
  'getConfiguration',
  'configuration',
  'refused',
  'stale',
  'needConfiguration',
  'readVersion',
  'version',
  'write',
  'written',
  'fetch',
  'data',
  'store',
  'stored',
  'get',
  'block',
  'absent',
  'hold',
  'held',
  'list',
  'listed',
  'status',
  'serverStatus',
  'ping',
  'pong',
  'registerRead',
  'registerValue',
  'registerWrite',
  'registerWritten',
] as const;

export type MessageName = (typeof messageNames)[number];

export type Registry = {
  readonly [Name in MessageName]: {
    readonly number: number;
    readonly type: (typeof types)[Capitalize<Name>];
  };
};

export const registry: Registry = {
  hello: { number: 1, type: types.Hello },
  getConfiguration: { number: 2, type: types.GetConfiguration },
  configuration: { number: 3, type: types.Configuration },
  refused: { number: 4, type: types.Refused },
  stale: { number: 5, type: types.Stale },
  needConfiguration: { number: 6, type: types.NeedConfiguration },
  readVersion: { number: 10, type: types.ReadVersion },
  version: { number: 11, type: types.Version },
  write: { number: 12, type: types.Write },
  written: { number: 13, type: types.Written },
  fetch: { number: 14, type: types.Fetch },
  data: { number: 15, type: types.Data },
  store: { number: 20, type: types.Store },
  stored: { number: 21, type: types.Stored },
  get: { number: 22, type: types.Get },
  block: { number: 23, type: types.Block },
  absent: { number: 24, type: types.Absent },
  hold: { number: 25, type: types.Hold },
  held: { number: 26, type: types.Held },
  list: { number: 30, type: types.List },
  listed: { number: 31, type: types.Listed },
  status: { number: 40, type: types.Status },
  serverStatus: { number: 41, type: types.ServerStatus },
  ping: { number: 42, type: types.Ping },
  pong: { number: 43, type: types.Pong },
  registerRead: { number: 50, type: types.RegisterRead },
  registerValue: { number: 51, type: types.RegisterValue },
  registerWrite: { number: 52, type: types.RegisterWrite },
  registerWritten: { number: 53, type: types.RegisterWritten },
};

export type MessageValue<Name extends MessageName> = ValueOf<Registry[Name]['type']>;
/** One decoded message: its name decides its value's type. */
export type Message = {
  [Name in MessageName]: { name: Name; value: MessageValue<Name> };
}[MessageName];

/** Why an answerer refused. Append only. `final` ones stay true if the same request is repeated at once. */
export const refusalCodes = {
  'not-certified': { number: 1, final: true },
  'wrong-system': { number: 2, final: true },
  'not-responsible': { number: 3, final: true },
  'too-large': { number: 4, final: true },
  'over-quota': { number: 5, final: true },
  invalid: { number: 6, final: true },
  'not-held': { number: 7, final: true },
  repairing: { number: 8, final: false },
  overloaded: { number: 9, final: false },
  'disk-full': { number: 10, final: true },
  'disk-failing': { number: 11, final: true },
} as const;

export type RefusalCode = keyof typeof refusalCodes;

const refusalNames = new Map<number, RefusalCode>(
  Object.entries(refusalCodes).map(([name, { number }]) => [number, name as RefusalCode]),
);

/** The code of a number; undefined for one that this version does not know. */
export function refusalCodeOf(number: number): RefusalCode | undefined {
  return refusalNames.get(number);
}

const names = new Map<number, MessageName>(
  Object.entries(registry).map(([name, { number }]) => [number, name as MessageName]),
);

export function messageName(number: number): MessageName | undefined {
  return names.get(number);
}

export function messageNumber(name: MessageName): number {
  return registry[name].number;
}

/** The largest payload of a message type; undefined for an unknown number. */
export function payloadSizeBytesMax(number: number): number | undefined {
  const name = names.get(number);
  if (name === undefined) return undefined;
  const bound =
    name === 'configuration' ? limits.configurationSizeBytesMax : limits.messageSizeBytesMax;
  return Math.min(registry[name].type.maxSize, bound);
}

export function encodeMessage<Name extends MessageName>(
  name: Name,
  value: MessageValue<Name>,
): Bytes {
  const type: Type<unknown> = registry[name].type;
  return type.serialize(value);
}

/**
 * The message of a number and payload, or undefined when the bytes are not exactly the canonical encoding of one.
 * Never throws, whatever the bytes.
 */
export function decodeMessage(number: number, payload: Bytes): Message | undefined {
  const name = names.get(number);
  if (name === undefined || payload.length > (payloadSizeBytesMax(number) ?? 0)) return undefined;
  const type: Decoder<unknown> = registry[name].type;
  const value = decodeAs(type, payload);
  // The registry ties name and type together; the compiler cannot follow that through the look-up.
  return value === undefined ? undefined : ({ name, value } as Message);
}

interface Decoder<T> {
  deserialize(bytes: Bytes): T;
}

/** Strict SSZ decoding of any container; undefined instead of an exception. */
export function decodeAs<T>(type: Decoder<T>, bytes: Bytes): T | undefined {
  try {
    return type.deserialize(bytes);
  } catch {
    return undefined;
  }
}

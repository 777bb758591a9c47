// What a replica and the module that keeps its identity key say to each other on a local socket: frames, one question and
// one answer in turn.

import { ByteListType, ContainerType, type Type, type ValueOf } from '@chainsafe/ssz';
import type { Bytes } from '../base/bytes.ts';
import { encodeFrame, type Frame, FrameDecoder } from './frame.ts';
import { limits } from './limits.ts';
import { decodeAs } from './registry.ts';
import { Bytes32, Signature, Uint8, Uint64 } from './scalars.ts';

/** `version` is 1. */
const Describe = new ContainerType({ version: Uint8 });
const Described = new ContainerType({ publicKey: Bytes32, instance: Bytes32, counter: Uint64 });
const Sign = new ContainerType({ statement: new ByteListType(limits.signedStatementSizeBytesMax) });
const Signed = new ContainerType({ signature: Signature });
/** Asks for the identity's word for a key of channels. */
const Vouch = new ContainerType({ channelKey: Bytes32 });
const Vouched = new ContainerType({ counter: Uint64, notAfterMs: Uint64, signature: Signature });
const Refused = new ContainerType({ reason: new ByteListType(limits.signingRefusalSizeBytesMax) });

export const signingVersion = 1;

const registry = {
  describe: { number: 1, type: Describe },
  described: { number: 2, type: Described },
  sign: { number: 3, type: Sign },
  signed: { number: 4, type: Signed },
  vouch: { number: 5, type: Vouch },
  vouched: { number: 6, type: Vouched },
  refused: { number: 7, type: Refused },
} as const;

type Name = keyof typeof registry;
export type SigningValue<N extends Name> = ValueOf<(typeof registry)[N]['type']>;
export type SigningMessage = {
  [N in Name]: { readonly name: N; readonly value: SigningValue<N> };
}[Name];

const names = new Map<number, Name>(
  Object.entries(registry).map(([name, { number }]) => [number, name as Name]),
);

export function encodeSigning<N extends Name>(name: N, value: SigningValue<N>): Bytes {
  const type: Type<unknown> = registry[name].type;
  return encodeFrame(registry[name].number, type.serialize(value));
}

/** Undefined for anything but a canonical message. */
export function decodeSigning({ type, payload }: Frame): SigningMessage | undefined {
  const name = names.get(type);
  if (name === undefined) return undefined;
  const decoder: { deserialize(bytes: Bytes): unknown } = registry[name].type;
  const value = decodeAs(decoder, payload);
  // The registry ties name and type together; the compiler cannot follow that through the look-up.
  return value === undefined ? undefined : ({ name, value } as SigningMessage);
}

export function signingDecoder(): FrameDecoder {
  return new FrameDecoder((type) => {
    const name = names.get(type);
    return name === undefined ? undefined : registry[name].type.maxSize;
  });
}

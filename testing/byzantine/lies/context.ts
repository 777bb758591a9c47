// Small pieces that lies are made of.

import { type Bytes, concatBytes, uint64Bytes } from '../../../src/base/bytes.ts';
import { HeaderVerifier, headerScheme } from '../../../src/dbqs/headers.ts';
import { objectId } from '../../../src/dbqs/ids.ts';
import { type Message, type RefusalCode, refusalCodes } from '../../../src/wire/registry.ts';
import type { ObjectHeader } from '../../../src/wire/types.ts';
import type { LieContext, Utterance } from '../liar.ts';
import type { Seen } from '../notebook.ts';

/** The context of an answer to `request`. */
export function contextOf(request: Message, context: LieContext) {
  const nonce = 'nonce' in request.value ? request.value.nonce : new Uint8Array(16);
  return { instance: context.instance, epoch: context.configuration.epoch as number, nonce };
}

export function refusal(request: Message, context: LieContext, code: RefusalCode): Utterance {
  const value = { ...contextOf(request, context), code: refusalCodes[code].number, detail: 0 };
  return { message: { name: 'refused', value } };
}

/** The acknowledgement of a write or store. */
export function acknowledgement(request: Message, context: LieContext): Utterance | undefined {
  const answer = contextOf(request, context);
  if (request.name === 'write') {
    const { object, header } = request.value;
    return {
      message: { name: 'written', value: { ...answer, object, version: header.version } },
    };
  }
  if (request.name === 'store') {
    return { message: { name: 'stored', value: { ...answer, block: request.value.block } } };
  }
  return undefined;
}

/** An answer to a request to read, from `seen`: undefined for nothing. */
export function showing(
  request: Message,
  context: LieContext,
  seen: Seen | undefined,
  withData: boolean,
): Utterance | undefined {
  const answer = contextOf(request, context);
  if (request.name === 'readVersion') {
    const { object, inlineSizeBytesMax } = request.value;
    const inline =
      withData && seen !== undefined && seen.data.length <= Math.min(inlineSizeBytesMax, 65_536);
    const value = {
      ...answer,
      object,
      header: seen === undefined ? [] : [seen.header],
      data: inline && seen !== undefined ? [seen.data] : [],
    };
    return { message: { name: 'version', value } };
  }
  if (request.name === 'fetch') {
    if (seen === undefined || !withData) return refusal(request, context, 'not-held');
    const { object } = request.value;
    return { message: { name: 'data', value: { ...answer, object, ...seen } } };
  }
  return undefined;
}

/** The same request's denial: nothing is there, and never was. */
export function denial(request: Message, context: LieContext): Utterance | undefined {
  const answer = contextOf(request, context);
  if (request.name === 'get' || request.name === 'hold') {
    return { message: { name: 'absent', value: { ...answer, block: request.value.block } } };
  }
  if (request.name === 'list') {
    const { kind, from } = request.value;
    const value = { ...answer, kind, from, objects: [], blocks: [], complete: 1 };
    return { message: { name: 'listed', value } };
  }
  return showing(request, context, undefined, false);
}

/** A valid object under a key of the liar's own. */
export function ownVersion(
  context: LieContext,
  seed: number,
  counter: number,
  data: Bytes,
): { readonly id: Bytes; readonly seen: Seen } {
  const { scheme, configuration } = context;
  const signer = scheme.signer(concatBytes(uint64Bytes(seed), context.self.id.subarray(0, 24)));
  const { system } = configuration;
  const header = headerScheme(
    new HeaderVerifier(system, scheme),
    system,
    new Uint8Array(20).fill(seed & 0xff),
    signer,
  ).sign(counter, data);
  return { id: objectId(signer.publicKey), seen: { header, data } };
}

/** The header with one thing in it changed, so that its signature no longer fits. */
export function forgedFrom(header: ObjectHeader, context: LieContext): ObjectHeader {
  const { version, signature, length } = header;
  switch (context.prng.below(5)) {
    case 0:
      return { ...header, version: { ...version, counter: version.counter + 1 } };
    case 1:
      return { ...header, version: { ...version, digest: new Uint8Array(32).fill(7) } };
    case 2:
      return { ...header, length: length + 1 };
    case 3:
      return { ...header, version: { ...version, writer: new Uint8Array(20).fill(255) } };
    default:
      return { ...header, signature: Uint8Array.from(signature).reverse() };
  }
}

export function list<T>(value: T | undefined): readonly T[] | undefined {
  return value === undefined ? undefined : [value];
}

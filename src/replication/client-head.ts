// The head page of one client in the replicated table. Integers most significant first:
//   client (32), base (8), count (1), then by ascending number: number (8), sequence (8), size (4), slot (1), and the
//   result's bytes where slot says that they are here. A slot says too when a large result is not kept any more.

import type { Bytes } from '../base/bytes.ts';
import { limits } from '../wire/limits.ts';

/** In the place of a slot: the result is in the head itself. */
export const noSlot = 0xff;
/** In the place of a slot: the result was large and is not kept any more. */
export const lostSlot = 0xfe;
/** Larger results have pages of their own. 32 results of this size fit into one page with the head. */
export const resultInlineSizeBytesMax = 256;

const fixedSizeBytes = 32 + 8 + 1;
const entrySizeBytes = 8 + 8 + 4 + 1;

interface HeadEntry {
  readonly number: number;
  readonly sequence: number;
  readonly slot: number;
}

interface Head<Entry> {
  readonly client: Bytes;
  readonly base: number;
  readonly entries: readonly Entry[];
}

interface WithBody extends HeadEntry {
  readonly body: { readonly sizeBytes: number; readonly bytes: Bytes | undefined };
}

export interface DecodedEntry extends HeadEntry {
  readonly sizeBytes: number;
  /** Undefined: in the slot's pages. */
  readonly bytes: Bytes | undefined;
}

export function encodeHead({ client, base, entries }: Head<WithBody>): Bytes {
  let sizeBytes = fixedSizeBytes;
  for (const { slot, body } of entries) {
    sizeBytes += entrySizeBytes + (slot === noSlot ? body.sizeBytes : 0);
  }
  const page = new Uint8Array(sizeBytes);
  const view = new DataView(page.buffer);
  page.set(client, 0);
  writeUint64(view, 32, base);
  page[40] = entries.length;
  let offset = fixedSizeBytes;
  for (const { number, sequence, slot, body } of entries) {
    writeUint64(view, offset, number);
    writeUint64(view, offset + 8, sequence);
    view.setUint32(offset + 16, body.sizeBytes);
    page[offset + 20] = slot;
    offset += entrySizeBytes;
    if (slot !== noSlot || body.bytes === undefined) continue;
    page.set(body.bytes, offset);
    offset += body.sizeBytes;
  }
  return page;
}

/** Undefined for bytes that `encodeHead` does not write. */
export function decodeHead(page: Bytes): Head<DecodedEntry> | undefined {
  if (page.length < fixedSizeBytes) return undefined;
  const view = new DataView(page.buffer, page.byteOffset, page.length);
  const base = readUint64(view, 32);
  const count = page[40] as number;
  if (count > limits.clientWindow) return undefined;
  const entries: DecodedEntry[] = [];
  let offset = fixedSizeBytes;
  let previous = base;
  for (let i = 0; i < count; i++) {
    if (page.length - offset < entrySizeBytes) return undefined;
    const number = readUint64(view, offset);
    const sequence = readUint64(view, offset + 8);
    const sizeBytes = view.getUint32(offset + 16);
    const slot = page[offset + 20] as number;
    offset += entrySizeBytes;
    if (number <= previous) return undefined;
    previous = number;
    if (!isPlaced(sizeBytes, slot)) return undefined;
    let bytes: Bytes | undefined;
    if (slot === noSlot) {
      if (page.length - offset < sizeBytes) return undefined;
      bytes = page.subarray(offset, offset + sizeBytes);
      offset += sizeBytes;
    }
    entries.push({ number, sequence, slot, sizeBytes, bytes });
  }
  if (offset !== page.length) return undefined;
  return { client: page.slice(0, 32), base, entries };
}

/** Small results lie in the head, large ones in a slot. */
function isPlaced(sizeBytes: number, slot: number): boolean {
  if (sizeBytes > limits.resultSizeBytesMax) return false;
  if (slot === lostSlot) return sizeBytes === 0;
  return sizeBytes <= resultInlineSizeBytesMax ? slot === noSlot : slot < limits.clientWindow;
}

function writeUint64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, Math.floor(value / 2 ** 32));
  view.setUint32(offset + 4, value >>> 0);
}

function readUint64(view: DataView, offset: number): number {
  return view.getUint32(offset) * 2 ** 32 + view.getUint32(offset + 4);
}

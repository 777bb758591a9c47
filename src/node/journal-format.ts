// How a journal lies on disk. A folder holds segments, numbered files that are written front to back:
//
//   segment: "HFJOURN1" (8 bytes) | checksum u32 | zero u32 | marker (8 bytes) | first position u64 | records …
//   record:  marker (8 bytes)     | checksum u32 | length u32 | position u64   | durable u64 | bytes
//
// Integers are little-endian. Every checksum is the CRC-32 of what follows it in its header and, for a record, of its
// bytes. CRC-32 serves because it guards against failing disks, not against forgers (who may write here may write
// anything), and it costs 0.2 µs where SHA-256 takes 0.8. What a client can do is to choose the bytes of a record; the
// marker, random for each segment and known to nobody outside, keeps such bytes from passing for a record when a
// damaged segment is searched, and leftovers in a reused file from passing for new ones.
//
// `durable` is the highest position known to be on disk when the record was written. It tells damage from a torn end: a
// record that cannot be read, below a `durable` read elsewhere, was promised and is lost. Position 0 is no record but a
// mark: it carries `durable` alone.
import { crc32 } from 'node:zlib';
import type { Bytes } from '../base/bytes.ts';
import type { Position } from '../env/disk.ts';
import { limits } from '../wire/limits.ts';

export const segmentHeaderSizeBytes = 32;
export const recordHeaderSizeBytes = 32;
const markerSizeBytes = 8;
const magic = Buffer.from('HFJOURN1');

export interface SegmentHeader {
  readonly marker: Bytes;
  readonly firstPosition: Position;
}

export function encodeSegmentHeader({ marker, firstPosition }: SegmentHeader): Bytes {
  const header = Buffer.alloc(segmentHeaderSizeBytes);
  magic.copy(header);
  header.set(marker, 16);
  header.writeBigUInt64LE(BigInt(firstPosition), 24);
  header.writeUInt32LE(crc32(header.subarray(12)), 8);
  return header;
}

/** The header that `segment` begins with, or undefined when it is damaged or of another format. */
export function decodeSegmentHeader(segment: Buffer): SegmentHeader | undefined {
  if (segment.length < segmentHeaderSizeBytes) return undefined;
  const header = segment.subarray(0, segmentHeaderSizeBytes);
  if (!header.subarray(0, 8).equals(magic)) return undefined;
  if (header.readUInt32LE(8) !== crc32(header.subarray(12))) return undefined;
  const firstPosition = Number(header.readBigUInt64LE(24));
  return { marker: header.subarray(16, 16 + markerSizeBytes), firstPosition };
}

export interface RecordFields {
  readonly marker: Bytes;
  readonly position: Position;
  readonly durable: Position;
  readonly bytes: Bytes;
}

/** Writes a record at `offset` of `target`; returns the offset behind it. */
export function encodeRecord(target: Buffer, offset: number, fields: RecordFields): number {
  const { marker, position, durable, bytes } = fields;
  const end = offset + recordHeaderSizeBytes + bytes.length;
  target.set(marker, offset);
  target.writeUInt32LE(bytes.length, offset + 12);
  target.writeBigUInt64LE(BigInt(position), offset + 16);
  target.writeBigUInt64LE(BigInt(durable), offset + 24);
  target.set(bytes, offset + recordHeaderSizeBytes);
  target.writeUInt32LE(crc32(target.subarray(offset + 12, end)), offset + 8);
  return end;
}

export interface DecodedRecord {
  readonly position: Position;
  readonly durable: Position;
  /** A view into the segment. */
  readonly bytes: Bytes;
  readonly end: number;
}

/** The record or mark at `offset`, or undefined when no intact one stands there. */
export function decodeRecord(
  segment: Buffer,
  offset: number,
  marker: Bytes,
): DecodedRecord | undefined {
  const bytesAt = offset + recordHeaderSizeBytes;
  if (bytesAt > segment.length) return undefined;
  if (!segment.subarray(offset, offset + markerSizeBytes).equals(marker)) return undefined;
  const length = segment.readUInt32LE(offset + 12);
  const end = bytesAt + length;
  if (length > limits.journalRecordSizeBytesMax || end > segment.length) return undefined;
  if (segment.readUInt32LE(offset + 8) !== crc32(segment.subarray(offset + 12, end)))
    return undefined;
  return {
    position: Number(segment.readBigUInt64LE(offset + 16)),
    durable: Number(segment.readBigUInt64LE(offset + 24)),
    bytes: segment.subarray(bytesAt, end),
    end,
  };
}

export interface SegmentContents {
  readonly records: DecodedRecord[];
  /** Offset behind the last readable record of the unbroken row. */
  readonly end: number;
  /** Highest position that some intact record, also behind the end, says was durable. */
  readonly durable: Position;
}

/** The unbroken row of records from `firstPosition`, and what intact records beyond its end still tell. */
export function readSegment(
  segment: Buffer,
  { marker, firstPosition }: SegmentHeader,
): SegmentContents {
  const records: DecodedRecord[] = [];
  let durable = 0;
  let end = segmentHeaderSizeBytes;
  for (;;) {
    const record = decodeRecord(segment, end, marker);
    if (record === undefined) break;
    if (record.position !== 0) {
      if (record.position !== firstPosition + records.length) break;
      records.push(record);
    }
    durable = Math.max(durable, record.durable);
    end = record.end;
  }
  for (let at = segment.indexOf(marker, end); at !== -1; at = segment.indexOf(marker, at + 1)) {
    const record = decodeRecord(segment, at, marker);
    if (record !== undefined) durable = Math.max(durable, record.durable);
  }
  return { records, end, durable };
}

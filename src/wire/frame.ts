// A frame is the unit on a byte stream: length (u32), message type (u16), payload; integers little-endian as in SSZ.
// The length counts type and payload. Bounds are checked on the header, before anything is allocated for the rest.

import { type Bytes, emptyBytes } from '../base/bytes.ts';

export const frameHeaderSizeBytes = 6;

/**
 * The transport's own type, without payload, from who accepted a connection to who dialled it: what was sent has arrived.
 * Above, answers may come on another connection, or none be due.
 */
export const aliveFrameType = 0;

export function encodeFrame(type: number, payload: Bytes): Bytes {
  const frame = new Uint8Array(frameHeaderSizeBytes + payload.length);
  writeFrameHeader(frame, type, payload.length);
  frame.set(payload, frameHeaderSizeBytes);
  return frame;
}

/** Byte by byte: a view for six bytes costs more than they do. */
export function writeFrameHeader(frame: Uint8Array, type: number, payloadLength: number): void {
  const length = payloadLength + 2;
  frame[0] = length & 0xff;
  frame[1] = (length >>> 8) & 0xff;
  frame[2] = (length >>> 16) & 0xff;
  frame[3] = length >>> 24;
  frame[4] = type & 0xff;
  frame[5] = type >>> 8;
}

export interface Frame {
  readonly type: number;
  /** Owned by the receiver: never overwritten by later input. */
  readonly payload: Bytes;
}

export type FrameError = 'frame-too-short' | 'frame-too-long' | 'unknown-type';

/**
 * Cuts a byte stream into frames. After an error the stream has no known next boundary, so the connection must go.
 * Memory stays below one frame's bound plus one input chunk.
 */
export class FrameDecoder {
  readonly #sizeBytesMax: (type: number) => number | undefined;
  readonly #header: Uint8Array = new Uint8Array(frameHeaderSizeBytes);
  readonly #headerView = new DataView(this.#header.buffer);
  #headerFilled = 0;
  #type = 0;
  #payload: Uint8Array | undefined;
  #payloadFilled = 0;
  /** What came behind a header that was refused. */
  #rest: Bytes = emptyBytes;

  /** @param sizeBytesMax the payload bound of a type; undefined for a type that is not known. */
  constructor(sizeBytesMax: (type: number) => number | undefined) {
    this.#sizeBytesMax = sizeBytesMax;
  }

  /** Feeds one chunk; calls `onFrame` for each completed frame. Returns what is wrong with the stream, if anything. */
  push(chunk: Bytes, onFrame: (frame: Frame) => void): FrameError | undefined {
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#payload === undefined) {
        const taken = Math.min(frameHeaderSizeBytes - this.#headerFilled, chunk.length - offset);
        this.#header.set(chunk.subarray(offset, offset + taken), this.#headerFilled);
        this.#headerFilled += taken;
        offset += taken;
        if (this.#headerFilled < frameHeaderSizeBytes) return undefined;
        const error = this.#begin();
        if (error !== undefined) {
          this.#rest = chunk.subarray(offset);
          return error;
        }
      }
      const payload = this.#payload as Uint8Array;
      const taken = Math.min(payload.length - this.#payloadFilled, chunk.length - offset);
      payload.set(chunk.subarray(offset, offset + taken), this.#payloadFilled);
      this.#payloadFilled += taken;
      offset += taken;
      if (this.#payloadFilled === payload.length) {
        this.#payload = undefined;
        this.#headerFilled = 0;
        onFrame({ type: this.#type, payload });
      }
    }
    return undefined;
  }

  /** Judges a refused header again, since the bounds may be others by now, and goes on behind it. */
  goOn(onFrame: (frame: Frame) => void): FrameError | undefined {
    const rest = this.#rest;
    this.#rest = emptyBytes;
    return this.#begin() ?? this.push(rest, onFrame);
  }

  #begin(): FrameError | undefined {
    const length = this.#headerView.getUint32(0, true);
    this.#type = this.#headerView.getUint16(4, true);
    if (length < 2) return 'frame-too-short';
    const bound = this.#sizeBytesMax(this.#type);
    if (bound === undefined) return 'unknown-type';
    if (length - 2 > bound) return 'frame-too-long';
    this.#payload = new Uint8Array(length - 2);
    this.#payloadFilled = 0;
    return undefined;
  }
}

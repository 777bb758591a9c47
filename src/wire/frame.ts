// A frame is the unit on a byte stream: length (u32), message type (u16), payload; integers little-endian as in SSZ.
// The length counts type and payload. Bounds are checked on the header, before anything is allocated for the rest.

import type { Bytes } from '../base/bytes.ts';

export const frameHeaderSizeBytes = 6;

export function encodeFrame(type: number, payload: Bytes): Bytes {
  const frame = new Uint8Array(frameHeaderSizeBytes + payload.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, payload.length + 2, true);
  view.setUint16(4, type, true);
  frame.set(payload, frameHeaderSizeBytes);
  return frame;
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
  #header: Uint8Array = new Uint8Array(frameHeaderSizeBytes);
  #headerFilled = 0;
  #type = 0;
  #payload: Uint8Array | undefined;
  #payloadFilled = 0;

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
        if (error !== undefined) return error;
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

  #begin(): FrameError | undefined {
    const view = new DataView(this.#header.buffer);
    const length = view.getUint32(0, true);
    this.#type = view.getUint16(4, true);
    if (length < 2) return 'frame-too-short';
    const bound = this.#sizeBytesMax(this.#type);
    if (bound === undefined) return 'unknown-type';
    if (length - 2 > bound) return 'frame-too-long';
    this.#payload = new Uint8Array(length - 2);
    this.#payloadFilled = 0;
    return undefined;
  }
}

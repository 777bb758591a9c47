import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { type Bytes, concatBytes } from '../base/bytes.ts';
import { encodeFrame, type Frame, FrameDecoder, frameHeaderSizeBytes } from './frame.ts';

const sizeBytesMax = 100;
const boundOf = (type: number): number | undefined => (type < 10 ? sizeBytesMax : undefined);

function header(length: number, type: number): Bytes {
  const bytes = new Uint8Array(frameHeaderSizeBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint16(4, type, true);
  return bytes;
}

/** Feeds chunks until the first error. */
function decode(chunks: readonly Bytes[]): { frames: Frame[]; error: string | undefined } {
  const decoder = new FrameDecoder(boundOf);
  const frames: Frame[] = [];
  for (const chunk of chunks) {
    const error = decoder.push(chunk, (frame) => frames.push(frame));
    if (error !== undefined) return { frames, error };
  }
  return { frames, error: undefined };
}

/** A stream, cut at random places, empty chunks among them. */
function cut(stream: Bytes, cuts: readonly number[]): Bytes[] {
  const edges = [
    0,
    ...cuts.map((at) => at % (stream.length + 1)).sort((a, b) => a - b),
    stream.length,
  ];
  return edges.slice(1).map((edge, i) => stream.slice(edges[i], edge));
}

const frame = fc.record({
  type: fc.nat({ max: 9 }),
  payload: fc.oneof(
    fc.constant(new Uint8Array(0)),
    fc.uint8Array({ maxLength: sizeBytesMax }),
    fc.uint8Array({ minLength: sizeBytesMax, maxLength: sizeBytesMax }),
  ),
});

describe('frames', () => {
  it('have the written form', () => {
    expect([...encodeFrame(0x0102, Uint8Array.of(0xaa, 0xbb))]).toEqual([
      4, 0, 0, 0, 2, 1, 0xaa, 0xbb,
    ]);
    expect([...encodeFrame(3, new Uint8Array(0))]).toEqual([2, 0, 0, 0, 3, 0]);
  });

  it('come out the same whatever the chunks', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 30 }),
        (sent, cuts) => {
          const stream = concatBytes(
            ...sent.map(({ type, payload }) => encodeFrame(type, payload)),
          );
          expect(decode(cut(stream, cuts))).toEqual({ frames: sent, error: undefined });
          expect(decode([...stream].map((byte) => Uint8Array.of(byte)))).toEqual({
            frames: sent,
            error: undefined,
          });
        },
      ),
    );
  });

  it('that are incomplete stay inside', () => {
    const whole = encodeFrame(1, new Uint8Array(5));
    for (let length = 0; length < whole.length; length++) {
      expect(decode([whole.slice(0, length)])).toEqual({ frames: [], error: undefined });
    }
  });

  it('without payload come out with their last header byte', () => {
    expect(decode([header(2, 1)]).frames).toEqual([{ type: 1, payload: new Uint8Array(0) }]);
  });

  it('are not changed by reuse of the chunk they came in', () => {
    const chunk = encodeFrame(1, Uint8Array.of(1, 2, 3));
    const { frames } = decode([chunk]);
    chunk.fill(0);
    expect(frames[0]?.payload).toEqual(Uint8Array.of(1, 2, 3));
  });
});

describe('what is not a frame', () => {
  it.each([
    ['length 0', header(0, 1), 'frame-too-short'],
    ['length 1', header(1, 1), 'frame-too-short'],
    ['one byte above the bound', header(2 + sizeBytesMax + 1, 1), 'frame-too-long'],
    ['the largest length', header(2 ** 32 - 1, 1), 'frame-too-long'],
    ['a type that is not known', header(2, 10), 'unknown-type'],
    ['a type that is not known, and too long', header(2 ** 32 - 1, 0xffff), 'unknown-type'],
  ])('%s', (_, bytes, error) => {
    const before = encodeFrame(2, Uint8Array.of(7));
    for (let at = 0; at <= bytes.length; at++) {
      const chunks = [before, bytes.slice(0, at), bytes.slice(at)];
      expect(decode(chunks)).toEqual({ frames: [{ type: 2, payload: Uint8Array.of(7) }], error });
    }
  });

  it('ends the stream for good', () => {
    const decoder = new FrameDecoder(boundOf);
    const onFrame = vi.fn();
    expect(decoder.push(header(0, 1), onFrame)).toBe('frame-too-short');
    expect(decoder.push(encodeFrame(1, new Uint8Array(1)), onFrame)).toBe('frame-too-short');
    expect(onFrame).not.toHaveBeenCalled();
  });

  it('is refused on its header, with nothing allocated for its payload', () => {
    const allocatedSizes: number[] = [];
    const [tooLong, good] = [header(2 ** 32 - 1, 1), header(2 + 7, 1)];
    vi.stubGlobal(
      'Uint8Array',
      class extends Uint8Array {
        constructor(length: number) {
          super(length);
          allocatedSizes.push(length);
        }
      },
    );
    try {
      expect(new FrameDecoder(boundOf).push(tooLong, () => {})).toBe('frame-too-long');
      expect(allocatedSizes).toEqual([frameHeaderSizeBytes]);
      expect(new FrameDecoder(boundOf).push(good, () => {})).toBeUndefined();
      expect(allocatedSizes).toEqual([frameHeaderSizeBytes, frameHeaderSizeBytes, 7]);
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it('never makes the decoder throw', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 10 }), (chunks) => {
        const { frames } = decode(chunks);
        expect(frames.every(({ type, payload }) => payload.length <= (boundOf(type) ?? -1))).toBe(
          true,
        );
      }),
      { numRuns: 1000 },
    );
  });
});

import type { TLSSocket } from 'node:tls';
import type { PeerId } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';
import type { Clock } from '../env/clock.ts';
import type { Log } from '../env/log.ts';
import type { Metrics } from '../env/metrics.ts';
import {
  type Frame,
  FrameDecoder,
  type FrameError,
  frameHeaderSizeBytes,
  writeFrameHeader,
} from '../wire/frame.ts';
import { limits } from '../wire/limits.ts';
import type { RefusalLog } from './refusal-log.ts';
import type { Turns, Worker } from './turns.ts';

/** A payload up to here is copied into the batch of its turn; a larger one is handed to the socket as it is. */
const copiedPayloadSizeBytesMax = 16 * 1024;

/** Frames that one read may bring of a stranger: who waits for answers has fewer under way, resent ones among them. */
const strangerFramesMax = 4 * limits.clientWindow;

/** What refusing a message takes at most, besides decoding it: half of that is checking a signature. */
const refusalMsMax = 0.1;
/** Deciphering, copying and cutting out what arrives; measured. */
const receiptMsPerByte = 1e-6;
const receiptMsPerFrame = 3e-3;
/** The dearest messages are lists of small things. */
const decodingMsPerByte = 25e-6;

export interface ConnectionOptions {
  readonly socket: TLSSocket;
  /** The key that the other end has proved to hold. */
  readonly peer: PeerId;
  readonly sizeBytesMax: (type: number, peer: PeerId) => number | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly refusals: RefusalLog;
  readonly metrics: Metrics;
  /** In which all connections of the process get their turn to have frames handled. */
  readonly turns: Turns;
  readonly isKnown: () => boolean;
  /** What waits on this connection and others counted together; undefined where nothing but its own bound holds. */
  readonly output?: OutputBudget;
  /** Whether not to read while much output waits. Only one end may: two that wait for each other would wait for ever. */
  readonly pausesReading: boolean;
  /** Bound of what may wait for this peer, asked before each message. */
  readonly outputSizeBytesMax?: () => number;
  /** A frame that has begun must be complete after so long. */
  readonly frameTimeoutMs: number;
  readonly onFrame: (frame: Frame) => void;
  /** Called once, when nothing will arrive any more. `reason` is a counter's label. */
  readonly onClosed: (reason: string) => void;
}

/** Bytes that wait on several connections together. */
export class OutputBudget {
  readonly #sizeBytesMax: number;
  #waitingSizeBytes = 0;

  constructor(sizeBytesMax: number) {
    this.#sizeBytesMax = sizeBytesMax;
  }

  get isExceeded(): boolean {
    return this.#waitingSizeBytes > this.#sizeBytesMax;
  }

  add(sizeBytes: number): void {
    this.#waitingSizeBytes += sizeBytes;
  }
}

/**
 * One TLS connection after its handshake: cuts what arrives into frames, joins what leaves in one turn into one write,
 * and bounds both. It never reconnects.
 */
export class Connection implements Worker {
  readonly peer: PeerId;
  readonly #options: ConnectionOptions;
  readonly #socket: TLSSocket;
  readonly #decoder: FrameDecoder;
  /** Frames of this turn that wait for the flush. */
  #batch: Uint8Array[] = [];
  #batchSizeBytes = 0;
  /** Bytes of this connection that the shared budget still counts. */
  #budgeted = 0;
  #flushScheduled = false;
  /** Bytes of a frame of which the rest has not arrived, and when it began. */
  #partialSizeBytes = 0;
  #partialSinceMs = 0;
  /** Since when nothing is read. */
  #pausedMs = 0;
  /** Frames that have arrived and wait for their turn, from `#inboxFrom` on. At most what one read has brought. */
  #inbox: Frame[] = [];
  #inboxFrom = 0;
  #isInTurn = false;
  /** Of the frame that was handled last. */
  #wasInVain = false;
  #frameSizeBytes = 0;
  /** What receiving has taken and no account has yet. */
  #receiptMs = 0;
  /** A header is too long for who the peer is now; what waits in the inbox may say who it is. */
  #isHeld = false;
  /** Too much output waits. */
  #isOutputFull = false;
  #reading = true;
  #closedFor: string | undefined;

  constructor(options: ConnectionOptions) {
    this.peer = options.peer;
    this.#options = options;
    this.#socket = options.socket;
    this.#decoder = new FrameDecoder((type) => options.sizeBytesMax(type, options.peer));
    this.#socket.setNoDelay(true);
    this.#socket.setKeepAlive(true, 30_000);
    this.#socket.on('data', (chunk: Uint8Array) => this.#onData(chunk));
    this.#socket.on('drain', () => {
      this.#isOutputFull = false;
      this.#takeTurn();
      this.#readOrNot();
    });
    this.#socket.on('end', () => this.destroy('ended-by-peer'));
    this.#socket.on('error', (error: NodeJS.ErrnoException) =>
      this.destroy(error.code === undefined ? 'socket-error' : `socket-${error.code}`),
    );
    this.#socket.on('close', () => this.destroy('socket-closed'));
  }

  get isKnown(): boolean {
    return this.#options.isKnown();
  }

  get inVainMsMax(): number {
    const isInVain = this.#wasInVain || (this.#inboxFrom > strangerFramesMax && !this.isKnown);
    return isInVain ? refusalMsMax + this.#frameSizeBytes * decodingMsPerByte : 0;
  }

  get receiptMs(): number {
    return receiptMsPerFrame + this.#frameSizeBytes * receiptMsPerByte;
  }

  takeReceiptMs(): number {
    const ms = this.#receiptMs;
    this.#receiptMs = 0;
    return ms;
  }

  /** The frame that is being handled is of no use: what that takes counts against its peer's allowance. */
  inVain(): void {
    this.#wasInVain = true;
  }

  get closed(): boolean {
    return this.#closedFor !== undefined;
  }

  /** Bytes accepted by `send` that the operating system has not taken yet. */
  get waitingSizeBytes(): number {
    return this.#batchSizeBytes + this.#socket.writableLength;
  }

  /** Queues one frame. False when it was dropped: closed, or more than `limits.sendQueueBytesMax` would wait. */
  send(type: number, payload: Bytes): boolean {
    if (this.#closedFor !== undefined) return false;
    const sizeBytes = frameHeaderSizeBytes + payload.length;
    const { output, outputSizeBytesMax } = this.#options;
    const waiting = this.waitingSizeBytes;
    const most = outputSizeBytesMax?.() ?? limits.sendQueueBytesMax;
    if (waiting > 0 && waiting + sizeBytes > most) {
      this.#options.metrics.count('network_messages_dropped_total', 'send-queue-full');
      return false;
    }
    if (output?.isExceeded === true && waiting > limits.sendQueueBytesMin) {
      this.destroy('output-not-read');
      return false;
    }
    this.#budgeted += sizeBytes;
    output?.add(sizeBytes);
    const header = new Uint8Array(frameHeaderSizeBytes);
    writeFrameHeader(header, type, payload.length);
    this.#batch.push(header, payload);
    this.#batchSizeBytes += sizeBytes;
    if (!this.#flushScheduled) {
      this.#flushScheduled = true;
      // When all that has arrived meanwhile has been handled, on other connections too, so that its answers share a
      // write. Against the end of the running callback: with 64 operations in flight a tenth less processor time and a
      // fifth more operations, with one in flight no difference (docs/PERFORMANCE.md).
      setImmediate(() => this.#flush());
    }
    if (this.#options.pausesReading && this.waitingSizeBytes > limits.sendQueueBytesPause) {
      if (!this.#isOutputFull) this.#options.metrics.count('network_reading_paused_total');
      this.#isOutputFull = true;
      this.#readOrNot();
    }
    return true;
  }

  /** Drops the connection and what waits on it. */
  destroy(reason: string): void {
    if (this.#closedFor !== undefined) return;
    this.#closedFor = reason;
    this.#batch = [];
    this.#batchSizeBytes = 0;
    this.#inbox = [];
    this.#inboxFrom = 0;
    this.#release(this.#budgeted);
    this.#socket.destroy();
    this.#options.onClosed(reason);
  }

  /** Writes out what waits and says good-bye; resolves when it has left. The caller destroys afterwards. */
  end(): Promise<void> {
    this.#flush();
    if (this.#closedFor !== undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#socket.end(() => resolve());
      this.#socket.once('close', () => resolve());
    });
  }

  #flush(): void {
    this.#flushScheduled = false;
    if (this.#closedFor !== undefined || this.#batch.length === 0) return;
    const parts = this.#batch;
    const sizeBytes = this.#batchSizeBytes;
    this.#batch = [];
    this.#batchSizeBytes = 0;
    let small: Uint8Array[] = [];
    for (const part of parts) {
      if (part.length <= copiedPayloadSizeBytesMax) {
        small.push(part);
        continue;
      }
      this.#write(Buffer.concat(small));
      small = [];
      this.#write(part);
    }
    if (small.length > 0) this.#write(Buffer.concat(small));
    this.#options.metrics.count('network_sent_bytes_total', undefined, sizeBytes);
  }

  #write(bytes: Uint8Array): void {
    this.#socket.write(bytes, () => this.#release(bytes.length));
  }

  /** Bytes that no longer wait; what a destroyed connection had waiting is released once. */
  #release(sizeBytes: number): void {
    const released = Math.min(sizeBytes, this.#budgeted);
    this.#budgeted -= released;
    this.#options.output?.add(-released);
  }

  #onData(chunk: Uint8Array): void {
    const { clock, metrics, frameTimeoutMs } = this.#options;
    metrics.count('network_received_bytes_total', undefined, chunk.length);
    if (this.#partialSizeBytes > 0 && clock.nowMs() - this.#partialSinceMs > frameTimeoutMs) {
      this.destroy('slow-frame');
      return;
    }
    if (this.#partialSizeBytes === 0) this.#partialSinceMs = clock.nowMs();
    this.#partialSizeBytes += chunk.length;
    this.#receiptMs += chunk.length * receiptMsPerByte;
    this.#decode((onFrame) => this.#decoder.push(chunk, onFrame));
  }

  #decode(step: (onFrame: (frame: Frame) => void) => FrameError | undefined): void {
    const error = step((frame) => {
      this.#partialSizeBytes -= frameHeaderSizeBytes + frame.payload.length;
      this.#partialSinceMs = this.#options.clock.nowMs();
      this.#inbox.push(frame);
      this.#receiptMs += receiptMsPerFrame;
    });
    this.#isHeld = error === 'frame-too-long' && this.#inboxFrom < this.#inbox.length;
    if (error !== undefined && !this.#isHeld) {
      const address = this.#socket.remoteAddress ?? 'unknown';
      this.#options.refusals.badFrame(this.peer, address, error);
      this.destroy(error);
      return;
    }
    this.#takeTurn();
  }

  /** All that came before a header which was too long is handled: it is judged again. */
  #judgeHeld(): void {
    if (!this.#isHeld || this.#closedFor !== undefined) return;
    if (this.#inboxFrom < this.#inbox.length) return;
    this.#isHeld = false;
    this.#decode((onFrame) => this.#decoder.goOn(onFrame));
  }

  #deliver(frame: Frame): void {
    if (this.#closedFor !== undefined) return;
    try {
      this.#options.onFrame(frame);
    } catch (error) {
      // A handler that throws is our own fault; the state that this peer shares with it is not to be relied on.
      this.#options.log.error('network.handler-failed', {
        peer: this.peer,
        type: frame.type,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
      this.destroy('handler-failed');
    }
  }

  #takeTurn(): void {
    // Without a frame too: who sends much waits before more of it is read.
    if (this.#isInTurn || (this.#inbox.length === 0 && this.#receiptMs === 0)) return;
    this.#isInTurn = !this.#options.turns.run(this);
    if (!this.#isInTurn) this.#judgeHeld();
    this.#readOrNot();
  }

  work(): boolean {
    this.#wasInVain = false;
    // Its answers would only wait behind those that it does not take; `drain` goes on here.
    if (this.#isOutputFull) return false;
    const frame = this.#inbox[this.#inboxFrom];
    if (frame !== undefined) {
      this.#frameSizeBytes = frame.payload.length;
      this.#inboxFrom++;
      this.#deliver(frame);
    }
    if (this.#inboxFrom < this.#inbox.length) return true;
    this.#inbox = [];
    this.#inboxFrom = 0;
    return false;
  }

  caughtUp(): void {
    this.#isInTurn = false;
    this.#judgeHeld();
    this.#readOrNot();
  }

  /** A peer that does not take its answers gets no more questions in, nor one whose questions wait for their turn. */
  #readOrNot(): void {
    const reads = !this.#isOutputFull && !this.#isInTurn && !this.#isHeld;
    if (this.#closedFor !== undefined || reads === this.#reading) return;
    this.#reading = reads;
    if (reads) {
      // What was held up here is not its peer's slowness; all other time is.
      const nowMs = this.#options.clock.nowMs();
      this.#partialSinceMs = Math.min(nowMs, this.#partialSinceMs + nowMs - this.#pausedMs);
      this.#socket.resume();
      return;
    }
    this.#pausedMs = this.#options.clock.nowMs();
    this.#socket.pause();
  }
}

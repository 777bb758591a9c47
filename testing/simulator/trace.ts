// What happened in a simulation, as one rolling hash and, on request, as text. The same seed gives the same hash;
// whether lines are kept or not changes nothing in it.
//
// A line is: time in microseconds, kind, subject, details, each separated by one space.
//
//   1203417 deliver c1>s2 type=17 bytes=212 hash=9f0a12cd     a message reached s2's handler
//   1203420 drop c1>s3 type=17 bytes=212 hash=9f0a12cd lost   a message will never arrive; the last word says why
//   1203500 timer s2 41                                       the 41st timer of this incarnation of s2 ran
//   1203600 crash s2 incarnation=1                            everything else: a note, in the words of who made it

import type { Bytes } from '../../src/base/bytes.ts';

/** Numbers go into the hash: append only, or stored hashes of old seeds change. */
const messageKinds = { deliver: 1, drop: 2, duplicate: 3, corrupt: 4, replay: 5 } as const;
const timerKind = 6;
const noteKind = 7;

export type MessageKind = keyof typeof messageKinds;

export interface TraceOptions {
  /** The newest lines are kept for `lines()`. 0 keeps none and costs nothing. */
  readonly linesKept: number;
  /** Sees each line when it is made, for instance to write it to a file. */
  readonly onLine: ((line: string) => void) | undefined;
}

export class Trace {
  /** Set by the simulation whenever time moves. */
  nowUs = 0;
  /** Entries so far. */
  entries = 0;
  readonly #options: TraceOptions;
  readonly #recording: boolean;
  readonly #names: string[] = [];
  readonly #lines: string[] = [];
  #oldest = 0;
  #low = 0x9e3779b9 | 0;
  #high = 0x85ebca6b | 0;

  constructor(options: TraceOptions) {
    this.#options = options;
    this.#recording = options.linesKept > 0 || options.onLine !== undefined;
  }

  /** Gives a subject (a node, say) the number under which it stands in entries. */
  subject(name: string): number {
    this.#names.push(name);
    this.#mixText(name);
    return this.#names.length - 1;
  }

  message(
    kind: MessageKind,
    from: number,
    to: number,
    type: number,
    sizeBytes: number,
    payloadHash: number,
    reason = '',
  ): void {
    this.#begin(messageKinds[kind], from);
    this.#mix(to);
    this.#mix(type);
    this.#mix(sizeBytes);
    this.#mix(payloadHash);
    if (reason !== '') this.#mixText(reason);
    if (!this.#recording) return;
    const hash = (payloadHash >>> 0).toString(16).padStart(8, '0');
    const tail = reason === '' ? '' : ` ${reason}`;
    this.#record(
      `${kind} ${this.#names[from]}>${this.#names[to]} type=${type} bytes=${sizeBytes} hash=${hash}${tail}`,
    );
  }

  timer(node: number, number: number): void {
    this.#begin(timerKind, node);
    this.#mix(number);
    if (this.#recording) this.#record(`timer ${this.#names[node]} ${number}`);
  }

  /** Anything rarer. `text` must be the same in every run of a seed. */
  note(kind: string, subject: number, text: string): void {
    this.#begin(noteKind, subject);
    this.#mixText(kind);
    this.#mixText(text);
    if (!this.#recording) return;
    this.#record(`${kind} ${this.#names[subject]}${text === '' ? '' : ` ${text}`}`);
  }

  /** 16 hexadecimal digits over all entries so far. */
  hash(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0');
    return hex(this.#high) + hex(this.#low);
  }

  /** The newest lines, oldest first. */
  lines(): string[] {
    return [...this.#lines.slice(this.#oldest), ...this.#lines.slice(0, this.#oldest)];
  }

  #begin(kind: number, subject: number): void {
    this.entries++;
    this.#mix(this.nowUs | 0);
    this.#mix(Math.floor(this.nowUs / 2 ** 32));
    this.#mix((kind << 24) ^ subject);
  }

  #mix(word: number): void {
    this.#low = Math.imul(this.#low ^ word, 0x9e3779b1);
    this.#low ^= this.#low >>> 15;
    this.#high = (Math.imul(this.#high ^ this.#low, 0x85ebca77) + word) | 0;
    this.#high ^= this.#high >>> 13;
  }

  #mixText(text: string): void {
    this.#mix(text.length);
    for (let i = 0; i < text.length; i++) this.#mix(text.charCodeAt(i));
  }

  #record(text: string): void {
    const line = `${this.nowUs} ${text}`;
    this.#options.onLine?.(line);
    const kept = this.#options.linesKept;
    if (kept === 0) return;
    if (this.#lines.length < kept) {
      this.#lines.push(line);
      return;
    }
    this.#lines[this.#oldest] = line;
    this.#oldest = (this.#oldest + 1) % kept;
  }
}

/** A quick 32-bit digest for traces; no defence against anybody. */
export function quickHash(bytes: Bytes): number {
  const wholeWords = bytes.length >>> 2;
  let hash = bytes.length ^ 0x27d4eb2f;
  if ((bytes.byteOffset & 3) === 0) {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, wholeWords);
    for (let i = 0; i < wholeWords; i++) hash = mixWord(hash, words[i] as number);
  } else {
    for (let i = 0; i < wholeWords; i++) hash = mixWord(hash, wordAt(bytes, 4 * i));
  }
  for (let i = wholeWords << 2; i < bytes.length; i++) hash = mixWord(hash, bytes[i] as number);
  return hash ^ (hash >>> 16);
}

function mixWord(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}

function wordAt(bytes: Bytes, offset: number): number {
  return (
    (bytes[offset] as number) |
    ((bytes[offset + 1] as number) << 8) |
    ((bytes[offset + 2] as number) << 16) |
    ((bytes[offset + 3] as number) << 24)
  );
}

// Several clients at once on a few objects and many contents, recording all that they did and saw. The same code runs
// in the test's own process and in further ones.

import { createHash } from 'node:crypto';
import type { Client } from '../../src/client/index.ts';
import type { HistoryEvent } from '../../testing/checkers/history.ts';
import { eventToLine } from '../../testing/checkers/recording.ts';

/** One clock for all processes of this machine, in milliseconds. */
const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

export const objectNames = ['w-alpha', 'w-beta', 'w-gamma'] as const;

const digestOf = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex').slice(0, 32);

export async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

/** The value's digest; null for a name that was never written. Other failures pass through. */
export async function readDigest(client: Client, name: string): Promise<string | null> {
  try {
    const { chunks } = await client.read(name);
    return digestOf(await bytesOf(chunks));
  } catch (error) {
    if (hasCode(error, 'not-found')) return null;
    throw error;
  }
}

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** What one process recorded. Operations without an end are those whose outcome nobody knows. */
export class Recording {
  readonly #events: { event: HistoryEvent; order: number }[] = [];
  #operations = 0;

  add(event: HistoryEvent): void {
    this.#events.push({ event, order: this.#events.length });
  }

  nextId(): number {
    return this.#operations++;
  }

  /** As lines, in order of time. Contents are noted when their address is known, after their invocation. */
  text(): string {
    const sorted = [...this.#events].sort(
      (a, b) => a.event.time - b.event.time || a.order - b.order,
    );
    return sorted.map(({ event }) => eventToLine(event)).join('');
  }
}

export interface WorkloadOptions {
  /** Names this process among all that record. */
  readonly process: string;
  readonly clients: readonly Client[];
}

/** Runs until `stop`; each client does one operation after another. */
export class Workload {
  /** Registers: objects under names. */
  readonly objects = new Recording();
  /** Contents, each an object of its own: its address. */
  readonly contents = new Recording();
  /** Addresses that a put has given, and the digest of what lies there. */
  readonly stored = new Map<string, string>();
  /** Operations answered. */
  done = 0;
  /** Operations that ended without an answer, with what they said. */
  readonly failures: string[] = [];
  /** What no client may ever meet. */
  readonly wrong: string[] = [];
  readonly #options: WorkloadOptions;
  readonly #running: Promise<void>[];
  #stopping = false;

  constructor(options: WorkloadOptions) {
    this.#options = options;
    this.#running = options.clients.map((client, index) => this.#run(client, index));
  }

  /** Lets each client finish what it is doing. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }

  async #run(client: Client, index: number): Promise<void> {
    const who = `${this.#options.process}-${index}`;
    for (let step = 0; !this.#stopping; step++) {
      const name = objectNames[(step + index) % objectNames.length] ?? objectNames[0];
      const value = valueAt(`${who} ${step}`, step);
      try {
        // Reads and writes in turn, now and then a content.
        if (step % 5 === 4) await this.#put(client, who, value);
        else if (step % 5 === 2) await this.#get(client, who, step);
        else if ((step + index) % 2 === 0) await this.#write(client, who, name, value);
        else await this.#read(client, who, name);
        this.done += 1;
      } catch (error) {
        this.failures.push(error instanceof Error ? error.message : String(error));
        if (hasCode(error, 'unavailable')) continue;
        this.wrong.push(`${who} ${step}: ${error}`);
        return;
      }
    }
  }

  async #write(client: Client, who: string, object: string, value: Buffer): Promise<void> {
    const id = this.objects.nextId();
    const call = { id, time: nowMs(), client: who, object } as const;
    this.objects.add({ ...call, event: 'invoke', kind: 'write', value: digestOf(value) });
    await client.write(object, value);
    this.objects.add({ event: 'complete', id, time: nowMs() });
  }

  async #read(client: Client, who: string, object: string): Promise<void> {
    const id = this.objects.nextId();
    this.objects.add({ event: 'invoke', id, time: nowMs(), client: who, object, kind: 'read' });
    const value = await readDigest(client, object);
    this.objects.add({ event: 'complete', id, time: nowMs(), value });
  }

  async #put(client: Client, who: string, value: Buffer): Promise<void> {
    const invokedMs = nowMs();
    const { address } = await client.put(value);
    const id = this.contents.nextId();
    const call = { id, time: invokedMs, client: who, object: address } as const;
    this.contents.add({ ...call, event: 'invoke', kind: 'write', value: address });
    this.contents.add({ event: 'complete', id, time: nowMs() });
    this.stored.set(address, digestOf(value));
  }

  /** Reads back something stored before; `choice` says which. */
  async #get(client: Client, who: string, choice: number): Promise<void> {
    const addresses = [...this.stored.keys()];
    const address = addresses[(choice * 7919) % Math.max(1, addresses.length)];
    if (address !== undefined) await this.getStored(client, who, address);
  }

  /** Records a get of something that a put has stored. */
  async getStored(client: Client, who: string, address: string): Promise<void> {
    const id = this.contents.nextId();
    const object = address;
    this.contents.add({ event: 'invoke', id, time: nowMs(), client: who, object, kind: 'read' });
    let value: string | null = null;
    try {
      const { chunks } = await client.get(address);
      const digest = digestOf(await bytesOf(chunks));
      value = digest === this.stored.get(address) ? address : `bytes ${digest}`;
    } catch (error) {
      if (!hasCode(error, 'not-found')) throw error;
    }
    this.contents.add({ event: 'complete', id, time: nowMs(), value });
  }
}

/** Different for each step. Most are small; some take a block, some a tree of several. */
function valueAt(text: string, step: number): Buffer {
  const length = step % 23 === 4 ? 1_200_000 : step % 11 === 3 ? 50_000 : 40 + (step % 100);
  const value = Buffer.alloc(length, text);
  value.writeUInt32LE(step, length - 4);
  return value;
}

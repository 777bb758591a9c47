// What the clients of a run do: operations drawn from a mix, on a few objects and blocks, until there are enough.

import { type Bytes, utf8 } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { Signer } from '../../src/crypto/signature.ts';
import { blockId, objectId } from '../../src/dbqs/ids.ts';
import type { Ending, Operation, Session } from './client-machine.ts';
import type { Genesis } from './genesis.ts';
import type { Marks } from './marks.ts';
import { largeValueBytes, type RunOptions } from './options.ts';

/** A mutable object of the run. */
export interface SharedObject {
  readonly signer: Signer;
  readonly id: Bytes;
  /** The one client that writes it; undefined when all do. */
  readonly onlyWriter: number | undefined;
}

const blockAboveJournalBytes = 66_000;

export class Workload {
  readonly objects: readonly SharedObject[];
  readonly blocks: readonly Bytes[];
  readonly endings = new Map<Ending, number>();
  /** Operations that did not end as they must once all is well. */
  readonly disappointments: string[] = [];
  started = 0;
  readonly #options: RunOptions;
  readonly #prng: Prng;
  readonly #marks: Marks;
  #left: number;
  #strict = false;

  constructor(options: RunOptions, genesis: Genesis, prng: Prng, marks: Marks) {
    this.#options = options;
    this.#prng = prng;
    this.#marks = marks;
    this.#left = options.operations;
    this.objects = Array.from({ length: options.objects }, (_, index) => {
      const signer = genesis.scheme.signer(prng.bytes(32));
      const alone = options.operationMix.writeAlone > 0 && index % 2 === 1;
      const onlyWriter =
        alone || options.operationMix.write === 0 ? index % options.clients : undefined;
      return { signer, id: objectId(signer.publicKey), onlyWriter };
    });
    this.blocks = Array.from({ length: options.blocks }, (_, index) => {
      const large = this.#large();
      if (large) marks.hit('block above the journal limit');
      const data = new Uint8Array(large ? blockAboveJournalBytes : prng.between(0, 200)).fill(
        index,
      );
      data.set(utf8(`${index}`).subarray(0, data.length));
      return data;
    });
  }

  get exhausted(): boolean {
    return this.#left <= 0;
  }

  /** From now on every operation must succeed; so many more are made. */
  demandSuccess(operations: number): void {
    this.#strict = true;
    this.#left = operations;
  }

  /** Runs on a session for as long as it lives and there is something left to do. */
  async drive(session: Session, client: number): Promise<void> {
    const { timeoutMs, thinkMs } = this.#options;
    for (;;) {
      const idleMs = this.exhausted ? idlePollMs : 0;
      await pause(session, idleMs + this.#prng.between(...thinkMs) + this.#prng.below(10) / 10);
      const operation = this.exhausted ? undefined : this.#draw(client);
      if (operation === undefined) continue;
      this.#left--;
      this.started++;
      const strict = this.#strict;
      const ending = await session.perform(operation, strict ? strictTimeoutMs : timeoutMs);
      this.endings.set(ending, (this.endings.get(ending) ?? 0) + 1);
      if (strict && ending !== 'done' && ending !== 'exhausted')
        this.disappointments.push(`${session.name}: ${operation.kind} ended by ${ending}`);
    }
  }

  #draw(client: number): Operation | undefined {
    const { operationMix } = this.#options;
    const { read, write, writeAlone, put, get } = operationMix;
    let draw = this.#prng.below(read + write + writeAlone + put + get);
    if (draw < read) return { kind: 'read', object: this.#object().id };
    draw -= read;
    if (draw < write + writeAlone) return this.#drawWrite(client);
    draw -= write + writeAlone;
    const data = this.#prng.pick(this.blocks);
    if (data === undefined) return undefined;
    return draw < put ? { kind: 'put', data } : { kind: 'get', block: blockId(data) };
  }

  #drawWrite(client: number): Operation {
    const mine = this.objects.filter(
      ({ onlyWriter }) => onlyWriter === undefined || onlyWriter === client,
    );
    const object = this.#prng.pick(mine);
    if (object === undefined) return { kind: 'read', object: this.#object().id };
    const large = this.#large();
    if (large) this.#marks.hit('value above the inline limit');
    const span = large ? largeValueBytes : this.#options.valueBytes;
    return {
      kind: object.onlyWriter === undefined ? 'write' : 'write-alone',
      signer: object.signer,
      sizeBytes: this.#prng.between(...span),
    };
  }

  #object(): SharedObject {
    return this.#prng.pick(this.objects) as SharedObject;
  }

  #large(): boolean {
    const { largeOneIn } = this.#options;
    return largeOneIn > 0 && this.#prng.chance(1, largeOneIn);
  }
}

/** How often a client that has nothing to do looks whether there is more. */
const idlePollMs = 200;

/** Once all is well, an operation that takes longer has failed. */
export const strictTimeoutMs = 60_000;

function pause({ env }: Session, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    env.timers.after(delayMs, resolve);
  });
}

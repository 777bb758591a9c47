// Executes what is committed, in order, and answers clients. With three-message writes the primary executes the next
// batch before it is committed, in an undo scope; one batch at a time, since scopes do not nest.

import type { Bytes } from '../../base/bytes.ts';
import type { OrderedRequest } from '../../wire/replication.ts';
import { resultDigest } from '../requests.ts';
import type { Core } from './core.ts';
import type { LogEntry } from './log.ts';

export class Execution {
  readonly #core: Core;
  /** Highest batch executed for good; -1 while not even the state is here that the instance begins with. */
  executed = 0;
  /** Whether batch `executed + 1` is executed tentatively. */
  #isTentative = false;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Whether the state is that of a batch which may still be taken back. */
  get isAhead(): boolean {
    return this.#isTentative;
  }

  /** Executes all that is committed and not executed yet. */
  run(): void {
    const core = this.#core;
    if (!core.hasState || core.parts.repair.isNeeded) return;
    while (this.executed < core.commit) this.#finish(core.log.at(this.executed + 1));
    if (!core.isPrimary) return;
    core.parts.leases.serveReads();
    this.#runTentatively();
  }

  #finish({ entry }: LogEntry): void {
    const { executor, parts, isPrimary } = this.#core;
    const sequence = this.executed + 1;
    const wasEnded = executor.ended;
    const wasTentative = this.#isTentative;
    if (wasTentative) {
      executor.keep();
      this.#isTentative = false;
    }
    this.executed = sequence;
    for (const request of entry.requests) {
      // When it was executed tentatively this finds the stored result.
      const { outcome, result } = executor.execute(request, entry.agreed, sequence);
      const isAskedAgain = parts.requests.done(request);
      if (isPrimary && (!wasTentative || isAskedAgain)) {
        this.reply(request, outcome, result, sequence);
      }
    }
    parts.checkpoints.executed(sequence, executor.ended && !wasEnded);
    if (executor.ended) parts.requests.endAll();
  }

  #runTentatively(): void {
    const { parameters, log, executor, view, instance, out } = this.#core;
    if (!parameters.threeMessageWrites || this.#isTentative || executor.ended) return;
    const sequence = this.executed + 1;
    if (sequence > log.last) return;
    const { entry } = log.at(sequence);
    if (entry.requests.some((request) => executor.isStop(request))) return;
    executor.mark();
    this.#isTentative = true;
    for (const request of entry.requests) {
      const { outcome, result } = executor.execute(request, entry.agreed, sequence);
      // Leaves when the primary's own copy is durable, and not at all if the view has ended by then.
      out.toClient(
        request.client,
        'requestReply',
        {
          instance,
          view,
          sequence,
          number: request.number,
          kind: 1,
          outcome,
          digest: resultDigest(outcome, result),
          result: [result],
        },
        view,
      );
    }
  }

  /** Takes tentative execution back: its batch may not be in the next view's log. */
  undoTentative(): void {
    if (!this.#isTentative) return;
    this.#isTentative = false;
    this.#core.executor.undo();
  }

  /** The state was replaced by that of a checkpoint. */
  jumpTo(sequence: number): void {
    this.executed = sequence;
    this.#isTentative = false;
  }

  /** What was executed for good stays true in every view. */
  reply(request: OrderedRequest, outcome: number, result: Bytes, sequence: number): void {
    const { instance, view, out, parts } = this.#core;
    const value = {
      instance,
      view,
      sequence,
      number: request.number,
      kind: 0,
      outcome,
      digest: resultDigest(outcome, result),
      result: [result],
    };
    // All that a committed batch rests on is durable already; it need not wait for later batches' records.
    const isUrgent = parts.normal.isDurable(sequence);
    out.toClient(request.client, 'requestReply', value, undefined, isUrgent);
  }
}

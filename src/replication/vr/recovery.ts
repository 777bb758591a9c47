// Recovery of a replica that kept its view on disk and lost the rest (section 4.3, with the promised view of section 4.3's
// footnote made durable: a vote sent before the crash may still be counted after it).

import type { Bytes } from '../../base/bytes.ts';
import { equalBytes } from '../../base/bytes.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import type { Core } from './core.ts';

const retryHeartbeats = 4;

interface Answer {
  readonly view: number;
  readonly sequence: number;
}

export class Recovery {
  readonly #core: Core;
  #nonce: Bytes | undefined;
  readonly #answers = new Map<number, Answer>();
  #retryAtMs = 0;
  /** The log is being fetched. */
  #isFetching = false;

  constructor(core: Core) {
    this.#core = core;
  }

  begin(): void {
    const core = this.#core;
    core.status = 'recovering';
    this.#nonce = core.nonce();
    core.out.count('vr-recovery');
    this.#ask(this.#nonce);
  }

  #ask(nonce: Bytes): void {
    const { instance, out, nowMs, parameters, rules } = this.#core;
    this.#retryAtMs = nowMs + retryHeartbeats * parameters.heartbeatMs;
    const view = rules.promisedView(this.#core.view);
    out.multicast('vrRecovery', { instance, nonce, view }, undefined);
  }

  onRecovery(from: number, value: ReplicationMessageValue<'vrRecovery'>): void {
    const core = this.#core;
    if (core.status !== 'normal') return core.out.count('vr-not-normal');
    // The asker may have voted for a later view: no older one may go on as if it had not.
    if (value.view > core.view) return core.parts.viewChange.begin(value.view);
    const { instance, view, log } = core;
    const sequence = core.isPrimary ? log.last : 0;
    const answer = { instance, nonce: value.nonce, view, sequence };
    core.out.toReplica(from, 'vrRecoveryResponse', answer, view);
  }

  onRecoveryResponse(from: number, value: ReplicationMessageValue<'vrRecoveryResponse'>): void {
    const core = this.#core;
    const nonce = this.#nonce;
    if (core.status !== 'recovering' || nonce === undefined || !equalBytes(value.nonce, nonce)) {
      return core.out.count('vr-unasked');
    }
    const { view, sequence } = value;
    const known = this.#answers.get(from);
    if (known === undefined || view >= known.view) this.#answers.set(from, { view, sequence });
    if (this.#isFetching) return;
    const primaryOf = (each: number) => core.primaryOf(each);
    const promised = core.rules.promisedView(core.view);
    const found = core.rules.recoveryView(this.#answers, promised, core.faults, primaryOf);
    if (found === undefined) return;
    const primary = core.primaryOf(found);
    this.#isFetching = true;
    core.parts.fetch.recover(found, primary, this.#answers.get(primary)?.sequence ?? 0);
  }

  onTick(): void {
    const { nowMs, parts } = this.#core;
    const nonce = this.#nonce;
    if (nonce === undefined || nowMs < this.#retryAtMs) return;
    // What does not come may be of a view that has ended meanwhile: ask all again, under the same nonce.
    this.#isFetching = this.#isFetching && parts.fetch.isAlive;
    if (!this.#isFetching) this.#ask(nonce);
  }
}

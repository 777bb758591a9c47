// Quorum calls over the epochs of a configuration (protocols D.4, D.5): the group of an object is what the newest
// proven configuration says, and every reply of one call belongs to that one epoch.

import type { Bytes } from '../../base/bytes.ts';
import type { Cancellation } from '../../base/cancellation.ts';
import type { Configuration } from '../../configuration/configuration.ts';
import { type QuorumSystem, thresholds } from '../arithmetic.ts';
import type { Exchange } from '../exchange.ts';
import { runPhase } from '../phase.ts';
import type { CallKind, Halted, Judge, Quorum, QuorumCalls, Request } from './contract.ts';

/** Where the newest proven configuration comes from, and until when this node may rely on it. */
export interface ConfigurationSource {
  current(): Configuration;
  /** Monotonic time at which the knowledge that this configuration is in force runs out. */
  freshUntilMs(): number;
}

export class EpochCalls implements QuorumCalls {
  readonly #exchange: Exchange;
  readonly #source: ConfigurationSource;
  readonly #system: QuorumSystem;

  constructor(exchange: Exchange, source: ConfigurationSource, system: QuorumSystem) {
    this.#exchange = exchange;
    this.#source = source;
    this.#system = system;
  }

  async call<Body>(
    _kind: CallKind,
    object: Bytes,
    request: Request<Body>,
    judge: Judge<Body> | undefined,
    signal: Cancellation,
  ): Promise<Quorum<Body> | Halted> {
    if (this.#expired()) return { halted: 'freshness-expired' };
    const configuration = this.#source.current();
    const { members, faults } = configuration.groupOf(object);
    const group = {
      members,
      thresholds: thresholds(this.#system, members.length, faults),
      epoch: configuration.epoch,
    };
    const quorum = await runPhase(this.#exchange, group, request, judge, signal);
    // Looked at again when the last reply is in: an old group may have lapsed while we waited for it.
    return this.#expired() ? { halted: 'freshness-expired' } : quorum;
  }

  #expired(): boolean {
    return this.#exchange.env.clock.nowMs() >= this.#source.freshUntilMs();
  }
}

// Quorum calls over one group that never changes: every object is held by all of its members.

import type { Bytes } from '../../base/bytes.ts';
import type { Cancellation } from '../../base/cancellation.ts';
import type { Member } from '../../configuration/configuration.ts';
import type { Thresholds } from '../arithmetic.ts';
import type { Exchange } from '../exchange.ts';
import { runPhase } from '../phase.ts';
import type { CallKind, Judge, Quorum, QuorumCalls, Request } from './contract.ts';

export class StaticCalls implements QuorumCalls {
  readonly #exchange: Exchange;
  readonly #members: readonly Member[];
  readonly #thresholds: Thresholds;

  constructor(exchange: Exchange, members: readonly Member[], thresholds: Thresholds) {
    this.#exchange = exchange;
    this.#members = members;
    this.#thresholds = thresholds;
  }

  call<Body>(
    _kind: CallKind,
    _object: Bytes,
    request: Request<Body>,
    judge: Judge<Body> | undefined,
    signal: Cancellation,
  ): Promise<Quorum<Body>> {
    const group = { members: this.#members, thresholds: this.#thresholds, epoch: 0 };
    return runPhase(this.#exchange, group, request, judge, signal);
  }
}

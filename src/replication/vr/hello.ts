// A member that starts says so to the others. Who had tried in vain to reach it does so again at once, instead of when its
// pauses allow it: a backup that has nothing to say would hear its primary too late. And members notice whose parameters
// differ.

import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import { parametersDifferCode } from '../contract.ts';
import { ParameterDifferences } from '../parameter-differences.ts';
import type { Core } from './core.ts';

const againHeartbeats = 20;

export class Hello {
  readonly #core: Core;
  readonly #differences: ParameterDifferences;
  /** By member: it has said how its parameters are. */
  readonly #heard: boolean[];
  #againAtMs = 0;

  constructor(core: Core) {
    this.#core = core;
    const { mode, witnesses, threeMessageWrites, leaseMs, clockDriftPpm } = core.parameters;
    const own = { mode, witnesses, threeMessageWrites, leaseMs, clockDriftPpm };
    this.#differences = new ParameterDifferences(own);
    this.#heard = new Array<boolean>(core.size).fill(false);
    this.#heard[core.index] = true;
  }

  /** What others say to have set otherwise, for people. */
  get parametersDiffer(): readonly string[] {
    return this.#differences.all;
  }

  begin(): void {
    const { nowMs, parameters } = this.#core;
    this.#againAtMs = nowMs + againHeartbeats * parameters.heartbeatMs;
    this.#heard.forEach((isHeard, member) => {
      if (!isHeard) this.#say(member, 0);
    });
  }

  #say(member: number, isAnswer: number): void {
    const { instance, parameters, out } = this.#core;
    const { mode, witnesses, threeMessageWrites, leaseMs, clockDriftPpm } = parameters;
    const value = {
      instance,
      isAnswer,
      isViewOnly: mode === 'view' ? 1 : 0,
      hasWitnesses: witnesses ? 1 : 0,
      threeMessageWrites: threeMessageWrites ? 1 : 0,
      leaseMs,
      clockDriftPpm,
    };
    out.toReplica(member, 'vrHello', value, undefined, true);
  }

  onHello(from: number, value: ReplicationMessageValue<'vrHello'>): void {
    const { isAnswer, isViewOnly, hasWitnesses, threeMessageWrites } = value;
    const { leaseMs, clockDriftPpm } = value;
    this.#heard[from] = true;
    const mode = isViewOnly === 1 ? 'view' : 'full';
    const flags = [hasWitnesses === 1, threeMessageWrites === 1];
    const isNew = this.#differences.note(from, [mode, ...flags, leaseMs, clockDriftPpm]);
    if (isNew) this.#core.out.count(parametersDifferCode);
    if (isAnswer === 0) this.#say(from, 1);
  }

  /** It may have been lost: whoever has not answered is told again. */
  onTick(): void {
    if (this.#core.nowMs >= this.#againAtMs) this.begin();
  }
}

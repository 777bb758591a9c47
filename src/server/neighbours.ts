// Keeps an eye on the other members of this server's groups, to say whether stopping it now would cost anybody data
// access. Nothing else rests on this.

import type { PeerId } from '../base/brand.ts';
import type { Configuration, Member } from '../configuration/configuration.ts';
import { statusRequest } from '../dbqs/requests.ts';
import type { Timer } from '../env/clock.ts';
import type { Exchange } from '../quorum/exchange.ts';
import { poll } from '../quorum/poll.ts';
import { serverStates } from './assemble.ts';

const intervalMs = 5_000;
const answerTimeoutMs = 2_000;

export class Neighbours {
  readonly #exchange: Exchange;
  readonly #configuration: Configuration;
  readonly #self: PeerId;
  readonly #others: readonly Member[];
  #serving: ReadonlySet<PeerId> = new Set();
  #asked = false;
  #timer: Timer | undefined;
  #asking = new AbortController();
  #stopped = false;

  constructor(exchange: Exchange, configuration: Configuration, self: PeerId) {
    this.#exchange = exchange;
    this.#configuration = configuration;
    this.#self = self;
    const members = configuration.groupsOf(self).flatMap((group) => group.members);
    const distinct = new Map(members.map((member) => [member.peer, member]));
    distinct.delete(self);
    this.#others = [...distinct.values()];
  }

  async watch(): Promise<void> {
    if (this.#stopped) return;
    const controller = new AbortController();
    this.#asking = controller;
    const { timers } = this.#exchange.env;
    const limit = timers.after(answerTimeoutMs, () => controller.abort());
    const { epoch } = this.#configuration;
    const answers = await poll(
      this.#exchange,
      this.#others,
      epoch,
      statusRequest(),
      controller.signal,
    );
    limit.cancel();
    const serving = [...answers].filter(
      ([, answer]) => 'said' in answer && answer.said.state === serverStates.serving,
    );
    this.#serving = new Set(serving.map(([peer]) => peer));
    this.#asked = true;
    if (this.#stopped) return;
    this.#timer = timers.after(intervalMs, () => {
      this.watch();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#asking.abort();
  }

  /** Whether every group of this server keeps its quorum without it, in words too. */
  maintenance(): { safe: boolean; reason: string } {
    if (!this.#asked) return { safe: false, reason: 'the other servers have not been asked yet' };
    const quorum = 2 * this.#configuration.faults + 1;
    const groups = this.#configuration.groupsOf(this.#self);
    const weakest = Math.min(
      ...groups.map(({ members }) => members.filter(({ peer }) => this.#serving.has(peer)).length),
    );
    if (weakest >= quorum) {
      return {
        safe: true,
        reason: `without this server every group still has at least ${weakest} servers; ${quorum} are needed`,
      };
    }
    return {
      safe: false,
      reason: `without this server a group would have ${weakest} servers up, and ${quorum} are needed`,
    };
  }
}

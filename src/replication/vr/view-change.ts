// View change (section 4.2). STARTVIEWCHANGEs of f others let a replica vote; a vote (DOVIEWCHANGE) tells the new primary
// of the log of the last view in which its sender was normal; f+1 votes, and the best log of them whole, start the view.

import type { Bytes } from '../../base/bytes.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import type { Core } from './core.ts';
import { decodeEntry, type LogEntry } from './log.ts';

interface Vote {
  readonly member: number;
  readonly hasLog: boolean;
  readonly lastNormal: number;
  readonly sequence: number;
  readonly commit: number;
  readonly low: number;
  readonly first: number;
  readonly entries: readonly Bytes[];
}

export class ViewChange {
  readonly #core: Core;
  /** Members from which a STARTVIEWCHANGE for `view` is here. */
  #heard: boolean[] = [];
  #votes: (Vote | undefined)[] = [];
  #hasVoted = false;
  /** The vote waits for the end of a lease's promise, or for the own state. */
  #isWithheld = false;
  /** When the view change has taken too long; undefined until enough others take part. */
  #deadlineMs: number | undefined;
  /** All patience is multiplied by this: doubled with every view in which nothing was committed. */
  #backOff = 1;
  #hasProgressed = true;
  #resendAtMs = 0;
  /** Until when votes of further designated replicas are waited for. */
  #gatherUntilMs: number | undefined;

  constructor(core: Core) {
    this.#core = core;
  }

  /** How long to wait now for what is usually there within `timeoutMs`. */
  patience(timeoutMs: number): number {
    return Math.min(
      timeoutMs * this.#backOff,
      Math.max(timeoutMs, this.#core.parameters.viewChangeTimeoutMaxMs),
    );
  }

  /** Leaves the current view for `view`, which is above it; or goes on waiting for it after a restart. */
  begin(view: number): void {
    const core = this.#core;
    core.parts.execution.undoTentative();
    core.parts.leases.drop();
    core.parts.fetch.stop();
    if (this.#hasProgressed) this.#hasProgressed = false;
    else if (this.#backOff < backOffMax) this.#backOff *= 2;
    core.status = 'view-change';
    core.view = view;
    core.recordState();
    core.parts.requests.viewChanged();
    this.#heard = core.group.members.map(() => false);
    this.#votes = core.group.members.map(() => undefined);
    this.#hasVoted = false;
    this.#isWithheld = false;
    this.#deadlineMs = undefined;
    this.#gatherUntilMs = undefined;
    core.out.count('vr-view-change');
    this.#send();
    this.#review();
  }

  #send(): void {
    const { instance, view, out, nowMs, parameters } = this.#core;
    this.#resendAtMs = nowMs + resendHeartbeats * parameters.heartbeatMs;
    out.multicast('vrStartViewChange', { instance, view }, view);
    if (this.#hasVoted) this.#vote();
  }

  onStartViewChange(from: number, { view }: ReplicationMessageValue<'vrStartViewChange'>): void {
    if (!this.#join(view)) return;
    this.#heard[from] = true;
    this.#review();
  }

  /** Enters a later view. @returns whether this replica is changing to `view` now. */
  #join(view: number): boolean {
    const core = this.#core;
    if (view < core.view) return this.#ignore('vr-stale');
    // That view, or a later one, has begun already: its log is on the way.
    if (core.status === 'transferring' && view <= core.parts.fetch.view) {
      return this.#ignore('vr-stale');
    }
    if (view > core.view) this.begin(view);
    return core.status === 'view-change' && view === core.view;
  }

  #ignore(code: string): boolean {
    this.#core.out.count(code);
    return false;
  }

  #review(): void {
    const core = this.#core;
    const others = this.#heard.filter((isHeard) => isHeard).length;
    if (!core.rules.mayDoViewChange(others, core.faults)) return;
    // Only now: a replica that nobody hears, or that hears nobody, must not go from view to view alone.
    this.#deadlineMs ??= core.awakeMs + this.patience(core.parameters.viewChangeTimeoutMs);
    if (!this.#hasVoted) this.#voteIfFree();
    if (this.#hasVoted) this.#startIfChosen();
  }

  /**
   * A replica that granted a lease does not vote before that is over. One that lacks the state below its log does not
   * vote before it has it, unless others can do something with its log.
   */
  #voteIfFree(): void {
    const { leases, repair } = this.#core.parts;
    this.#isWithheld = repair.keepsFromVoting || !leases.mayVote();
    if (this.#isWithheld) return;
    this.#hasVoted = true;
    this.#vote();
  }

  #vote(): void {
    const core = this.#core;
    const { instance, view, lastNormal, log, commit, low, hasLog, parameters } = core;
    const first = Math.max(log.first, commit + 1 - parameters.pipelineMax);
    const entries = hasLog ? log.bytesFrom(first) : [];
    const primary = core.primaryOf(view);
    const said = { lastNormal, sequence: log.last, commit, low, first, entries };
    if (primary === core.index) this.#votes[core.index] = { member: core.index, hasLog, ...said };
    else {
      const value = { instance, view, hasLog: hasLog ? 1 : 0, ...said };
      core.out.toReplica(primary, 'vrDoViewChange', value, view);
    }
  }

  onDoViewChange(from: number, value: ReplicationMessageValue<'vrDoViewChange'>): void {
    const core = this.#core;
    if (core.primaryOf(value.view) !== core.index) return core.out.count('vr-not-primary');
    if (!this.#join(value.view)) return;
    if (value.lastNormal >= value.view || value.commit > value.sequence) {
      return core.out.count('vr-impossible');
    }
    const { lastNormal, sequence, commit, low, first, entries } = value;
    const said = { lastNormal, sequence, commit, low, first, entries };
    this.#votes[from] = { member: from, hasLog: value.hasLog === 1, ...said };
    this.#heard[from] = true;
    this.#review();
  }

  #startIfChosen(): void {
    const core = this.#core;
    const own = this.#votes[core.index];
    if (own === undefined || core.parts.fetch.isStarting) return;
    const votes = this.#votes.filter((vote) => vote !== undefined);
    if (!core.rules.mayStartView(votes.length, core.faults) || this.#isGathering(votes)) return;
    // The own one first: of equal logs it needs no fetching.
    const ordered = [own, ...votes.filter((vote) => vote !== own)];
    const best = ordered[core.rules.chooseLog(ordered)];
    if (best === undefined) return;
    for (const { low } of ordered) core.hearLow(low);
    if (best === own) return this.start(core.log.last, []);
    const keep = core.rules.kept(core.commit, best.first, core.log.last);
    const entries = keep === undefined ? undefined : decodeFrom(best, keep + 1);
    if (keep !== undefined && entries !== undefined) this.start(keep, entries);
    else core.parts.fetch.start(best.lastNormal, best.member, best.sequence);
  }

  /** With witnesses: whether to wait a little for designated replicas, so that no witness has to stand in for them. */
  #isGathering(votes: readonly Vote[]): boolean {
    const core = this.#core;
    if (!core.parameters.witnesses) return false;
    const designated = votes.filter(({ member }) => core.isDesignated(member)).length;
    if (designated === core.designatedCount) return false;
    this.#gatherUntilMs ??= core.nowMs + gatherHeartbeats * core.parameters.heartbeatMs;
    return core.nowMs < this.#gatherUntilMs;
  }

  /** Begins `view` as its primary: the own log up to `keep`, then `entries`, are the chosen log. */
  start(keep: number, entries: readonly LogEntry[]): void {
    const core = this.#core;
    const votes = this.#votes.filter((vote) => vote !== undefined);
    core.adopt(core.view, keep, entries, this.#chooseActive(votes));
    for (const { commit } of votes) core.hearCommit(commit);
    core.parts.normal.begin();
    this.#announce(votes);
    core.out.count('vr-view-started');
    core.parts.execution.run();
    core.parts.requests.viewChanged();
  }

  #chooseActive(votes: readonly Vote[]): number[] {
    const core = this.#core;
    if (!core.parameters.witnesses) return core.firstActive();
    // Votes are in the members' order: designated replicas come first.
    return votes.slice(0, core.faults + 1).map(({ member }) => member);
  }

  #announce(votes: readonly Vote[]): void {
    const core = this.#core;
    const { instance, view, log, commit, low, active, out } = core;
    let known = commit;
    for (const vote of votes) known = Math.min(known, vote.hasLog ? vote.commit : low);
    const first = Math.max(log.first, known + 1);
    const entries = log.bytesFrom(first);
    const value = {
      instance,
      view,
      active: [...active],
      sequence: log.last,
      commit,
      low,
      first,
      entries,
    };
    out.multicast('vrStartView', value, view);
  }

  onStartView(from: number, value: ReplicationMessageValue<'vrStartView'>): void {
    const core = this.#core;
    const { view, sequence, commit, active } = value;
    if (from !== core.primaryOf(view)) return core.out.count('vr-not-primary');
    core.hearLow(value.low);
    core.parts.execution.run();
    if (!active.includes(core.index) && core.isWitness) return this.standBy(view, active);
    if (!core.rules.mayReplaceLog(core, view)) return core.out.count('vr-stale');
    const base = core.base;
    const keep = core.rules.kept(base, value.first, core.log.last);
    const entries = keep === undefined ? undefined : decodeFrom(value, keep + 1);
    const isWhole = keep !== undefined && entries !== undefined && active.includes(core.index);
    if (!isWhole || core.isLogFilled(1)) return core.parts.fetch.hearLater(view, from);
    this.leave();
    core.adopt(view, keep, entries, active);
    core.hearCommit(Math.min(commit, sequence));
    this.entered();
  }

  /** Ends whatever this replica did in its old view before it becomes normal in another one. */
  leave(): void {
    const { parts } = this.#core;
    parts.execution.undoTentative();
    parts.leases.drop();
    parts.fetch.stop();
  }

  /** Normal as a backup from now on. */
  entered(): void {
    const core = this.#core;
    core.parts.normal.begin();
    core.parts.execution.run();
    core.parts.requests.viewChanged();
    const { log, commit, parameters } = core;
    if (log.last > commit || parameters.witnesses) core.parts.normal.acknowledge(log.last);
  }

  /** A witness that is not wanted notes the view; its log, if it has one, stays that of the view it belongs to. */
  standBy(view: number, active: readonly number[]): void {
    const core = this.#core;
    if (view < core.view || (view === core.view && core.status === 'normal')) {
      return core.out.count('vr-stale');
    }
    this.leave();
    core.view = view;
    core.lastNormal = core.rules.lastNormalOutside(core.lastNormal, view);
    core.status = 'normal';
    core.active = active;
    core.recordState();
    core.parts.normal.begin();
    core.parts.requests.viewChanged();
  }

  /** Something was committed: the next view change may be quick again. */
  progressed(): void {
    this.#hasProgressed = true;
    this.#backOff = 1;
  }

  onTick(): void {
    const core = this.#core;
    const { nowMs } = core;
    if (this.#deadlineMs !== undefined && core.awakeMs >= this.#deadlineMs) {
      core.suspected[core.primaryOf(core.view)] = true;
      core.suspected[core.index] = false;
      this.begin(core.viewAfter(core.view));
      return;
    }
    if (this.#isWithheld) this.#review();
    else if (this.#gatherUntilMs !== undefined) this.#startIfChosen();
    if (core.status === 'view-change' && nowMs >= this.#resendAtMs) this.#send();
  }
}

const backOffMax = 2 ** 20;
const resendHeartbeats = 4;
const gatherHeartbeats = 2;

/** The log from number `from` on, if the message holds all of it. */
function decodeFrom(
  given: { first: number; sequence: number; entries: readonly Bytes[] },
  from: number,
): LogEntry[] | undefined {
  const { first, sequence, entries } = given;
  if (first + entries.length - 1 !== sequence) return undefined;
  const decoded: LogEntry[] = [];
  for (let n = from; n <= sequence; n++) {
    const bytes = entries[n - first];
    const entry = bytes && decodeEntry(bytes);
    if (entry === undefined) return undefined;
    decoded.push(entry);
  }
  return decoded;
}

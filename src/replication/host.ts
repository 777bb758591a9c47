// Runs a replica's engine: hands events in one at a time, and carries out effects in the order of the contract: what rests
// on records leaves when they are durable, one flush for all that waits.

import { type Bytes, mapKey } from '../base/bytes.ts';
import type { Disk } from '../env/disk.ts';
import type { Env } from '../env/env.ts';
import type { Address, Channel } from '../env/network.ts';
import { limits } from '../wire/limits.ts';
import {
  decodeReplicationMessage,
  encodeReplicationMessage,
  replicationMessageName,
  replicationMessageNumber,
} from '../wire/replication-registry.ts';
import {
  type CheckpointSave,
  diskForgottenCode,
  type Effects,
  type Engine,
  type EngineEnding,
  type EngineEvent,
  type Evidence,
  parametersDifferCode,
  type ReplicaGroup,
  type ReplicaStatus,
  type Restored,
  type Send,
  statesDifferCode,
} from './contract.ts';
import { HostChannels } from './host-channels.ts';
import { ReplicaDisk } from './replica-disk.ts';
import { TimerSet } from './timer-set.ts';

export interface ReplicaHostOptions {
  readonly env: Env;
  /** Undefined: everything is in memory and counts as durable at once. For measurements only. */
  readonly disk: Disk | undefined;
  readonly group: ReplicaGroup;
  /** Index of this member. */
  readonly self: number;
  /** Where the members are, by index. */
  readonly addresses: readonly Address[];
  readonly engine: Engine;
  /** Keeps what a member provably did wrong. */
  readonly onEvidence: (evidence: Evidence) => void;
  /** The disk or the engine failed: this replica does nothing more, and its process should end. Called once. */
  readonly onFailure: (error: Error) => void;
}

/** What waits for the records appended so far. */
interface Waiting {
  /** Number of the last append that it rests on. */
  readonly append: number;
  readonly sends: readonly Send[];
  readonly mark: number | undefined;
}

/** What happens to a replica seldom, and matters to whoever runs it. */
const toldCodes: ReadonlySet<string> = new Set([
  'view-left',
  'view-entered',
  'vr-view-change',
  'vr-view-started',
  'transfer-started',
  'transfer-done',
  'recovery-started',
  'recovery-done',
  'recovery-refused',
  'primary-too-slow',
]);

export class ReplicaHost {
  readonly #options: ReplicaHostOptions;
  readonly #disk: ReplicaDisk | undefined;
  #restored: Restored | undefined;
  readonly #timers: TimerSet;
  readonly #channels: HostChannels;
  /** Events that arrive while one is being handled. */
  #events: EngineEvent[] = [];
  #isBusy = false;
  /** So far: what came of events, what there was to count, and sends that were dropped. */
  #results = 0;
  #counted = 0;
  #dropped = 0;
  #waiting: Waiting[] = [];
  /** Sends that wait, by the one they are for. */
  readonly #waitingFor = new Map<string | number, number>();
  #appends = 0;
  #durableAppends = 0;
  #isSyncing = false;
  #saves: CheckpointSave[] = [];
  #isSaving = false;
  #isReloadWanted = false;
  /** The engine reads the saved checkpoint. */
  #isReading = false;
  /** The engine has said of its disk that something is wrong with it. */
  #isDamageKnown = false;
  #isOver = false;

  private constructor(
    options: ReplicaHostOptions,
    disk: ReplicaDisk | undefined,
    restored: Restored | undefined,
  ) {
    this.#options = options;
    this.#disk = disk;
    this.#restored = restored;
    this.#channels = new HostChannels(options);
    this.#timers = new TimerSet(options.env, (name) => this.#dispatch({ kind: 'timer', name }));
  }

  /**
   * Reads what the disk holds. `start` sets the replica going.
   * @throws HoldfastError when the disk was not created for this member (`createReplica`), or has lost what it held.
   */
  static async open(options: ReplicaHostOptions): Promise<ReplicaHost> {
    const { disk, group, self } = options;
    if (disk === undefined) return new ReplicaHost(options, undefined, undefined);
    const opened = await ReplicaDisk.open(disk, group, self);
    return new ReplicaHost(options, opened.disk, opened.restored);
  }

  /** Takes the network over, dials the other members and starts the engine. */
  start(): void {
    const { env } = this.#options;
    env.network.onMessage((channel, type, payload) => this.receive(channel, type, payload));
    env.network.onClosed((channel) => this.closed(channel));
    this.#channels.dial();
    const restored = this.#restored;
    // The engine has it from here on: all pages are not kept a second time.
    this.#restored = undefined;
    this.#dispatch({ kind: 'start', restored });
    this.#watchDamage();
  }

  /** Nothing is wrong with this machine, and yet the group will stop: whoever runs the service must hear of it. */
  #sayDiverged(): void {
    const { engine, env } = this.#options;
    const message =
      'members computed different states: the service is not deterministic, or more members lie than the group tolerates';
    env.log.error('replica-states-differ', { checkpoint: engine.status().divergedAt, message });
  }

  /** At most once for each other member. */
  #sayParametersDiffer(): void {
    const { engine, env } = this.#options;
    const { parametersDiffer = [] } = engine.status();
    const message =
      'members run with different parameters where all need the same: correct them, and start those members again';
    env.log.error('replica-parameters-differ', { found: parametersDiffer.join('; '), message });
  }

  /** Somebody has made a new folder for a member that had run, or put an old one back. */
  #sayForgotten(): void {
    const message =
      'this member has signed what its folder knows nothing of; it counts as having lost its disk, and recovers';
    this.#options.env.log.warn('replica-forgot', { message });
  }

  /** Says once what is found wrong on the disk, and once that it is put right. */
  #watchDamage(): void {
    const { engine, env } = this.#options;
    const { damage, checkpoint } = engine.status();
    if (damage.length > 0 === this.#isDamageKnown) return;
    this.#isDamageKnown = damage.length > 0;
    if (this.#isDamageKnown) env.log.warn('replica-disk-damaged', { found: damage.join(' ') });
    else env.log.info('replica-disk-repaired', { checkpoint });
  }

  status(): ReplicaStatus {
    return this.#options.engine.status();
  }

  /** What the next instance begins with; undefined before this one has ended here. */
  ending(): EngineEnding | undefined {
    return this.#options.engine.ending();
  }

  /** Stops at once, as a crash would: nothing that waits leaves. */
  close(): void {
    this.#isOver = true;
    this.#timers.close();
    this.#waiting = [];
    this.#events = [];
  }

  /** Has the replica recover proactively, as if it had been broken into; it goes on meanwhile. Only PBFT does. */
  recover(): void {
    this.#dispatch({ kind: 'recover' });
  }

  /** A message from the network. Never throws, whatever it is. */
  receive(channel: Channel, type: number, payload: Bytes): void {
    if (this.#isOver) return;
    const { metrics } = this.#options.env;
    if (replicationMessageName(type) === undefined) {
      metrics.count('replication_events_total', 'unknown-type');
      return;
    }
    const peer = this.#channels.peerOf(channel);
    if (peer.isVoid) {
      metrics.count('replication_events_total', 'channel-void');
      return;
    }
    const message = decodeReplicationMessage(type, payload);
    if (message === undefined) {
      metrics.count('replication_events_total', 'malformed-message');
      channel.inVain?.();
      peer.bad += 1;
      if (peer.bad >= limits.badMessagesPerChannelMax) channel.close('too-many-bad-messages');
      return;
    }
    if (peer.clientKey !== undefined) this.#channels.noteClient(peer.clientKey, channel);
    const results = this.#results;
    const counted = this.#counted;
    const dropped = this.#dropped;
    this.#dispatch({ kind: 'message', from: peer.sender, message });
    if (this.#results > results) return;
    // What is dropped for a client's message is its own answer; of a member's it may be anybody's.
    const isUnanswered = peer.clientKey !== undefined && this.#dropped > dropped;
    if (this.#counted > counted || isUnanswered) channel.inVain?.();
  }

  /** An incoming connection is gone. */
  closed(channel: Channel): void {
    this.#channels.closed(channel);
  }

  /** One event at a time, in order, also when carrying out effects brings new ones at once. */
  #dispatch(event: EngineEvent): void {
    if (this.#isOver) return;
    this.#events.push(event);
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        // The clock is read now, not when the event arrived: a process that was held up must notice.
        this.#carryOut(this.#options.engine.handle(next, this.#options.env.clock.nowMs()));
      }
    } catch (error) {
      // An engine throws only when its own state is not what it relies on: it must not go on, and cannot.
      this.#fail(error);
    } finally {
      this.#isBusy = false;
    }
  }

  #carryOut(effects: Effects): void {
    const { compact, records, sends, mark, save } = effects;
    if (this.#disk !== undefined && (compact !== undefined || records.length > 0)) {
      this.#disk.append(compact, records);
      this.#appends += 1;
    }
    if (effects.keyCounters !== undefined) this.#channels.demandKeys(effects.keyCounters);
    if (effects.rekey !== undefined) this.#channels.rekey(effects.rekey);
    for (const send of sends) if (send.isUrgent) this.#leave(send);
    this.#defer(sends, mark);
    for (const change of effects.timers) this.#timers.set(change);
    if (save !== undefined) this.#save(save);
    if (effects.reloads === true) this.#reload();
    for (const evidence of effects.evidence) this.#options.onEvidence(evidence);
    const { metrics } = this.#options.env;
    for (const code of effects.counts) {
      metrics.count('replication_events_total', code);
      if (toldCodes.has(code)) this.#tellEvent(code);
      if (code === statesDifferCode) this.#sayDiverged();
      if (code === parametersDifferCode) this.#sayParametersDiffer();
      if (code === diskForgottenCode) this.#sayForgotten();
    }
    this.#results += records.length + effects.timers.length + effects.evidence.length;
    if (save !== undefined || mark !== undefined || compact !== undefined) this.#results += 1;
    this.#counted += effects.counts.length;
    if (this.#durableAppends < this.#appends) this.#sync();
  }

  #tellEvent(code: string): void {
    const { view, executed } = this.status();
    this.#options.env.log.info('replica-event', { code, view, executed });
  }

  /** Sends that vouch for something leave after all records appended before them, and in order. */
  #defer(sends: readonly Send[], mark: number | undefined): void {
    if (this.#durableAppends === this.#appends) {
      for (const send of sends) if (!send.isUrgent) this.#leave(send);
      if (mark !== undefined) this.#events.push({ kind: 'durable', mark });
      return;
    }
    const waiting = sends.filter((send) => !send.isUrgent && this.#mayWait(send));
    if (waiting.length === 0 && mark === undefined) return;
    this.#waiting.push({ append: this.#appends, sends: waiting, mark });
  }

  /** Bounds what waits for one peer, who may ask faster than the disk works. */
  #mayWait({ to }: Send): boolean {
    if (to.kind === 'replicas') {
      this.#results += 1;
      return true;
    }
    const whom = to.kind === 'client' ? mapKey(to.key) : to.index;
    const waiting = this.#waitingFor.get(whom) ?? 0;
    const bound =
      to.kind === 'client' ? limits.waitingSendsPerClientMax : limits.waitingSendsPerReplicaMax;
    if (waiting >= bound) {
      this.#dropped += 1;
      this.#options.env.metrics.count('replication_events_total', 'send-dropped-waiting');
      return false;
    }
    this.#waitingFor.set(whom, waiting + 1);
    this.#results += 1;
    return true;
  }

  /** One flush at a time; what is appended meanwhile shares the next one. */
  #sync(): void {
    if (this.#isSyncing || this.#disk === undefined) return;
    this.#isSyncing = true;
    const append = this.#appends;
    this.#disk.sync().then(
      () => {
        this.#isSyncing = false;
        this.#onDurable(append);
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #onDurable(append: number): void {
    if (this.#isOver) return;
    this.#durableAppends = append;
    // The next flush runs while what waited for this one leaves.
    if (append < this.#appends) this.#sync();
    const count = this.#waiting.findIndex((waiting) => waiting.append > append);
    const ready = this.#waiting.splice(0, count === -1 ? this.#waiting.length : count);
    if (this.#waiting.length === 0) this.#waitingFor.clear();
    for (const { sends, mark } of ready) {
      for (const send of sends) {
        if (this.#waitingFor.size > 0) this.#waitsNoLonger(send);
        if (send.view === undefined || this.#options.engine.isCurrent(send.view)) this.#leave(send);
        else this.#options.env.metrics.count('replication_events_total', 'send-dropped-view');
      }
      if (mark !== undefined) this.#dispatch({ kind: 'durable', mark });
    }
  }

  #waitsNoLonger({ to }: Send): void {
    if (to.kind === 'replicas') return;
    const whom = to.kind === 'client' ? mapKey(to.key) : to.index;
    const waiting = this.#waitingFor.get(whom) ?? 0;
    if (waiting > 1) this.#waitingFor.set(whom, waiting - 1);
    else this.#waitingFor.delete(whom);
  }

  #leave(send: Send): void {
    const type = replicationMessageNumber(send.name);
    // One function for all names: the compiler cannot see that name and value belong together in each.
    const payload = encodeReplicationMessage(send.name, send.value as never);
    if (this.#channels.send(send.to, type, payload)) this.#results += 1;
    else this.#dropped += 1;
  }

  #save(save: CheckpointSave): void {
    if (this.#disk === undefined) {
      this.#events.push({ kind: 'saved', sequence: save.sequence });
      return;
    }
    this.#saves.push(save);
    if (!this.#isSaving && !this.#isReading) this.#saveNext(this.#disk);
  }

  #reload(): void {
    if (this.#disk === undefined) this.#events.push({ kind: 'reloaded', checkpoint: undefined });
    else if (this.#isSaving || this.#isReading) this.#isReloadWanted = true;
    else this.#read(this.#disk);
  }

  /** Nothing is saved before the engine has read all that it wants. */
  #read(disk: ReplicaDisk): void {
    this.#isReading = true;
    const checkpoint = disk.reload(() => {
      this.#isReading = false;
      if (!this.#isSaving) this.#saveNext(disk);
    });
    this.#dispatch({ kind: 'reloaded', checkpoint });
  }

  #saveNext(disk: ReplicaDisk): void {
    if (this.#isReloadWanted) {
      this.#isReloadWanted = false;
      this.#isSaving = false;
      return this.#read(disk);
    }
    const save = this.#saves.shift();
    this.#isSaving = save !== undefined;
    if (save === undefined) return;
    disk.save(save).then(
      () => {
        this.#dispatch({ kind: 'saved', sequence: save.sequence });
        if (!this.#isOver) this.#watchDamage();
        this.#saveNext(disk);
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    const failure = error instanceof Error ? error : new ReplicaFailed('the replica failed');
    this.close();
    const { message, stack, cause } = failure;
    // What the application threw says where; of our own faults the stack does.
    const at = cause instanceof Error ? (cause.stack ?? cause.message) : stack;
    this.#options.env.log.error('replica-failed', { message, at });
    this.#options.onFailure(failure);
  }
}

/** A disk gave an error that was not an error object. */
class ReplicaFailed extends Error {
  override readonly name = 'ReplicaFailed';
}

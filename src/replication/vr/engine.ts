// Viewstamped Replication ("Viewstamped Replication Revisited", 2012, with corrections: docs/protocols/vr.md) as an
// engine: events in, effects out. This file takes events apart and keeps the clock; the parts decide.

import { assert } from '../../base/assert.ts';
import { type Bytes, equalBytes } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { ReplicationMessage } from '../../wire/replication-registry.ts';
import type {
  Effects,
  Engine,
  EngineEnding,
  EngineEvent,
  ReplicaGroup,
  ReplicaStatus,
  Restored,
  Sender,
  StateMachine,
} from '../contract.ts';
import { answerFetch } from '../transfer-answer.ts';
import { Checkpoints } from './checkpoints.ts';
import { Core } from './core.ts';
import { Execution } from './execution.ts';
import { Fetch } from './fetch.ts';
import { Hello } from './hello.ts';
import { Leases } from './leases.ts';
import { answerGetState } from './log-answers.ts';
import { Normal } from './normal.ts';
import { type VrParameters, vrParameters } from './parameters.ts';
import { Questions } from './questions.ts';
import { replay } from './records.ts';
import { Recovery } from './recovery.ts';
import { Repair, repairTimer } from './repair.ts';
import { Requests } from './requests.ts';
import { type VrRules, vrRules } from './rules.ts';
import { ViewChange } from './view-change.ts';

export interface VrEngineOptions {
  readonly group: ReplicaGroup;
  /** Own index among the group's members. */
  readonly index: number;
  readonly service: StateMachine;
  readonly parameters?: Partial<VrParameters>;
  /** 16 bytes that this replica has never used before, not even before a restart. */
  readonly nonce: () => Bytes;
  /** For tests that show what goes wrong with others. */
  readonly rules?: VrRules;
}

/** @throws HoldfastError `bad-configuration` for parameters that make no sense. */
export function createVrEngine(options: VrEngineOptions): Engine {
  const { group, index, service, nonce, rules = vrRules } = options;
  const size = group.members.length;
  if (size !== 2 * group.faults + 1) {
    throw new HoldfastError(
      'bad-configuration',
      `a group of Viewstamped Replication has 2f+1 members: ${2 * group.faults + 1}, not ${size}`,
      { cure: 'Name as many members, or another number of faults.' },
    );
  }
  assert(index >= 0 && index < size, 'a replica is a member');
  const parameters = vrParameters(options.parameters ?? {});
  return new VrEngine(new Core({ group, index, service, parameters, rules, nonce }));
}

/** Runs out when all that has come before is done. */
const turnTimer = 'turn';

/** `core` is there for tests that look inside. */
export class VrEngine implements Engine {
  readonly core: Core;
  /** The own disk says what this replica cannot have written: whatever it promised is unknown, so it stays silent. */
  #isMute = false;
  #isTurnAwaited = false;

  constructor(core: Core) {
    this.core = core;
    core.connect({
      requests: new Requests(core),
      questions: new Questions(core),
      normal: new Normal(core),
      execution: new Execution(core),
      checkpoints: new Checkpoints(core),
      viewChange: new ViewChange(core),
      fetch: new Fetch(core),
      recovery: new Recovery(core),
      repair: new Repair(core),
      leases: new Leases(core),
      hello: new Hello(core),
    });
  }

  handle(event: EngineEvent, nowMs: number): Effects {
    const { out } = this.core;
    this.core.begin(nowMs);
    if (this.#isMute) out.count('vr-disk-unreadable');
    else this.#dispatch(event);
    this.core.parts.requests.handOn();
    this.#awaitTurn();
    return out.take();
  }

  /** What nobody orders has a budget for each turn of the process. */
  #awaitTurn(): void {
    const { parts, out, nowMs } = this.core;
    if (this.#isTurnAwaited || !(parts.leases.wantsTurn || parts.questions.wantsTurn)) return;
    this.#isTurnAwaited = true;
    out.timer(turnTimer, nowMs);
  }

  #dispatch(event: EngineEvent): void {
    const { parts } = this.core;
    switch (event.kind) {
      case 'start':
        return this.#start(event.restored);
      case 'message':
        return this.#onMessage(event.from, event.message);
      case 'timer':
        return this.#onTimer(event.name);
      case 'durable':
        return parts.normal.onDurable(event.mark);
      case 'saved':
        if (parts.checkpoints.onSaved(event.sequence)) parts.fetch.onSaved();
        return;
    }
  }

  isCurrent(view: number): boolean {
    const { status } = this.core;
    return view === this.core.view && (status === 'normal' || status === 'view-change');
  }

  ending(): EngineEnding | undefined {
    return this.core.parts.checkpoints.ending();
  }

  status(): ReplicaStatus {
    const core = this.core;
    const { parts } = core;
    return {
      view: core.view,
      status: this.#statusName(),
      primary: core.primaryOf(core.view),
      executed: Math.max(0, parts.execution.executed),
      committed: core.commit,
      checkpoint: parts.checkpoints.saved,
      transferred: parts.fetch.progress ?? parts.repair.progress,
      root: parts.checkpoints.root,
      damage: parts.checkpoints.damage,
      parametersDiffer: parts.hello.parametersDiffer,
    };
  }

  #statusName(): ReplicaStatus['status'] {
    const { executor, parts, status } = this.core;
    if (executor.ended && parts.checkpoints.isFinal) return 'final';
    return parts.repair.isNeeded && status !== 'recovering' ? 'transferring' : status;
  }

  // ---- Start ----

  #start(restored: Restored | undefined): void {
    const core = this.core;
    core.setTick();
    if (restored === undefined || restored.isFirstStart === true) {
      core.parts.hello.begin();
      this.#restoreState(restored);
      core.recordState();
      core.parts.repair.begin();
      core.parts.normal.begin();
      return;
    }
    if (!this.#restore(restored)) {
      this.#isMute = true;
      core.status = 'recovering';
      core.out.count('vr-disk-unreadable');
      return;
    }
    core.parts.hello.begin();
    core.parts.leases.restarted();
    core.parts.repair.begin();
    if (core.rules.mustRecover(core.parameters.mode)) core.parts.recovery.begin();
    else this.#resume();
  }

  /** @returns false if nothing is known any more of what this replica has promised. Its state may be missing. */
  #restore(restored: Restored): boolean {
    const core = this.core;
    const { checkpoints } = core.parts;
    if (!this.#restoreState(restored)) return false;
    const { checkpoint, records } = restored;
    // Whether or not its pages are still there, all up to here is committed.
    const saved = checkpoint?.sequence ?? 0;
    const replayed = replay(records, saved);
    if (replayed === undefined) return false;
    const { view, lastNormal, hasLog, low, active } = replayed.state;
    core.view = core.rules.viewAfterRestart(view, lastNormal);
    core.lastNormal = lastNormal;
    core.hasLog = hasLog === 1;
    core.low = low;
    if (active.length > 0) core.active = active;
    core.log = replayed.log;
    // A log of an earlier view than the checkpoint's may have something void in its place.
    if (!core.hasState || !checkpoints.isInLogOf(lastNormal)) core.log.dropTo(saved);
    // What the log begins above is committed, and so is what this replica has once said that it holds as such.
    core.commit = Math.max(saved, core.log.first - 1);
    // A witness's log may have begun anew after it saved a state.
    if (core.isWitness && core.hasState && core.log.first - 1 > saved) checkpoints.dropState();
    if (!core.isWitness) core.commit = Math.max(core.commit, Math.min(low, core.log.last));
    return true;
  }

  /** @returns false if there is something that this replica cannot have written. */
  #restoreState(restored: Restored | undefined): boolean {
    const { genesis, executor, hasState, parts } = this.core;
    const checkpoint = restored?.checkpoint;
    parts.checkpoints.noteDamage(restored?.damage ?? []);
    if (hasState && !equalBytes(executor.state.rootNow(), genesis)) {
      parts.repair.lacksGenesis(executor.state);
    }
    return checkpoint === undefined || parts.checkpoints.restore(checkpoint);
  }

  /** A restarted replica with its log is a slow one. */
  #resume(): void {
    const core = this.core;
    const { view, lastNormal, rules, parts } = core;
    const isPrimary = core.primaryOf(view) === core.index;
    if (!rules.resumesView(isPrimary)) return parts.viewChange.begin(core.viewAfter(view));
    if (rules.statusAfterRestart(view, lastNormal) === 'view-change') {
      return parts.viewChange.begin(view);
    }
    core.status = 'normal';
    core.recordState();
    parts.normal.begin();
  }

  // ---- Timers ----

  #onTimer(name: string): void {
    const { parts, status } = this.core;
    if (name === turnTimer) {
      this.#isTurnAwaited = false;
      parts.leases.beginTurn();
      return parts.questions.beginTurn();
    }
    if (name === 'batch') return parts.normal.proposeIfDue();
    if (name === 'transfer') return parts.fetch.onTransferTimer();
    if (name === repairTimer) return parts.repair.onTimer();
    if (name !== 'tick') return;
    this.core.setTick();
    parts.hello.onTick();
    if (parts.fetch.isInstalling) return;
    parts.fetch.onTick();
    parts.repair.onTick();
    if (status === 'recovering') parts.recovery.onTick();
    else if (status === 'view-change') parts.viewChange.onTick();
    else this.#watch();
  }

  /** The primary tells of itself; the others see to it that it does, and that what they handed to it gets done. */
  #watch(): void {
    const core = this.core;
    const { parts, parameters } = core;
    if (core.isPrimary) {
      parts.normal.proposeIfDue();
      parts.leases.ask();
      parts.normal.heartbeat();
      return;
    }
    const { primaryTimeoutMs, requestTimeoutMs } = parameters;
    const { viewChange } = parts;
    const silenceMs = core.awakeMs - parts.normal.lastHeardMs;
    const isSilent = silenceMs > viewChange.patience(primaryTimeoutMs);
    const isStuck =
      core.status === 'normal' &&
      // Without its state this replica does not see what is executed.
      !parts.repair.isNeeded &&
      parts.requests.isOverdue(viewChange.patience(requestTimeoutMs));
    if (!isSilent && !isStuck) return;
    const view = Math.max(core.view, parts.fetch.view);
    core.suspected[core.primaryOf(view)] = true;
    core.suspected[core.index] = false;
    core.out.count(isSilent ? 'vr-primary-silent' : 'vr-request-stuck');
    viewChange.begin(core.viewAfter(view));
  }

  // ---- Messages ----

  #onMessage(from: Sender, message: ReplicationMessage): void {
    const core = this.core;
    const { out, parts } = core;
    if (!core.isInstance(message.value.instance)) return out.count('vr-instance');
    if (message.name === 'vrHello' && isOther(core, from)) {
      return parts.hello.onHello(from.index, message.value);
    }
    if (core.status === 'recovering' && !core.rules.hearsWhileRecovering(message.name)) {
      return out.count('vr-recovering');
    }
    // What is in memory is not on disk yet; until it is this replica is just slow.
    if (parts.fetch.isInstalling && message.name !== 'fetchState') return out.count('vr-busy');
    if (from.kind === 'client') return this.#onClientMessage(from, message);
    if (!isOther(core, from)) return out.count('vr-not-a-member');
    core.suspected[from.index] = false;
    this.#onMemberMessage(from.index, message, from);
  }

  #onClientMessage(from: Sender & { kind: 'client' }, message: ReplicationMessage): void {
    const { parts, out } = this.core;
    switch (message.name) {
      case 'submitRequest':
        return parts.requests.onSubmit(from, message.value);
      case 'queryRequest':
        return parts.leases.onQuery(from.key, message.value);
      case 'lastNumber':
        return parts.questions.onLastNumber(from.key, message.value.nonce);
      default:
        return out.count('vr-unexpected');
    }
  }

  #onMemberMessage(from: number, message: ReplicationMessage, sender: Sender): void {
    const { parts, out, instance, executor } = this.core;
    switch (message.name) {
      case 'vrPrepare':
        return parts.normal.onPrepare(from, message.value);
      case 'vrPrepareOk':
        return parts.normal.onPrepareOk(from, message.value);
      case 'vrCommit':
        return parts.normal.onCommit(from, message.value);
      case 'submitRequest':
        return parts.requests.onSubmit(sender, message.value);
      case 'vrStartViewChange':
        return parts.viewChange.onStartViewChange(from, message.value);
      case 'vrDoViewChange':
        return parts.viewChange.onDoViewChange(from, message.value);
      case 'vrStartView':
        return parts.viewChange.onStartView(from, message.value);
      case 'vrGetState':
        return answerGetState(this.core, from, message.value);
      case 'vrNewState':
        if (parts.repair.isAnswer(message.value)) return parts.repair.onNewState(message.value);
        return parts.fetch.onNewState(from, message.value);
      case 'vrRecovery':
        return parts.recovery.onRecovery(from, message.value);
      case 'vrRecoveryResponse':
        return parts.recovery.onRecoveryResponse(from, message.value);
      case 'vrLeaseRequest':
        return parts.leases.onLeaseRequest(from, message.value);
      case 'vrLeaseGrant':
        return parts.leases.onLeaseGrant(from, message.value);
      case 'fetchState': {
        const part = answerFetch(executor.state, { ...message.value, instance });
        return out.toReplica(from, 'statePart', part, undefined, true);
      }
      case 'statePart':
        if (parts.fetch.progress !== undefined) return parts.fetch.onStatePart(from, message.value);
        return parts.repair.onStatePart(from, message.value);
      default:
        return out.count('vr-unexpected');
    }
  }
}

function isOther({ index, size }: Core, from: Sender): from is Sender & { kind: 'replica' } {
  return from.kind === 'replica' && from.index !== index && from.index < size;
}

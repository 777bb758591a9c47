// The PBFT engine: events in, effects out. What a message may do is decided in the parts; here it is only known for one of
// this instance and given to the part that it concerns.

import { assert, unreachable } from '../../base/assert.ts';
import { equalBytes, toHex } from '../../base/bytes.ts';
import type {
  ReplicationMessage,
  ReplicationMessageName,
} from '../../wire/replication-registry.ts';
import type {
  AwaitedThing,
  Effects,
  Engine,
  EngineEnding,
  EngineEvent,
  ReplicaStatus,
  Sender,
} from '../contract.ts';
import { BodyFetcher } from './bodies.ts';
import { Checkpoints } from './checkpoints.ts';
import { ClientRequests } from './client-requests.ts';
import { Core, type PbftOptions } from './core.ts';
import { Execution } from './execution.ts';
import { NewViews } from './new-views.ts';
import { batchTimer, NormalCase } from './normal-case.ts';
import { checkedParameters } from './parameters.ts';
import { Queries } from './queries.ts';
import { Recovery, recoveryTickTimer, recoveryTimer } from './recovery.ts';
import { pageCheckTimer } from './recovery-pages.ts';
import { restore } from './restart.ts';
import { type PbftRules, pbftRules } from './rules.ts';
import { StatusExchange, statusTimer } from './status-exchange.ts';
import { lateTimer, Transfers, transferTimer } from './transfers.ts';
import { ViewChanges } from './view-changes.ts';
import { requestTimer, ViewTimer, viewChangeTimer } from './view-timer.ts';

/** @throws HoldfastError `bad-configuration` for a group or parameters that cannot work. */
export function createPbftEngine(options: PbftOptions): Engine {
  return new PbftEngine(options, pbftRules);
}

/** Runs out when all that has come before is done. */
const turnTimer = 'turn';

/** Messages that say or show that their sender knows of the end, or are answered with the proof of it anyway. */
const isOfEnded: ReadonlySet<ReplicationMessageName> = new Set<ReplicationMessageName>([
  'stableCheckpoint',
  'fetchState',
  'statePart',
  'pbftStatus',
]);

export class PbftEngine implements Engine {
  readonly #core: Core;
  #isStarted = false;
  #isTurnAwaited = false;

  /** @param rules anything but `pbftRules` is for tests that show what each rule is for. */
  constructor(options: PbftOptions, rules: PbftRules) {
    const parameters = checkedParameters(options.group, options.parameters);
    assert(options.group.members[options.index] !== undefined, 'a member of the group');
    const core = new Core(options, parameters, rules);
    core.connect({
      bodies: new BodyFetcher(core),
      checkpoints: new Checkpoints(core),
      clientRequests: new ClientRequests(core),
      execution: new Execution(core),
      newViews: new NewViews(core),
      normalCase: new NormalCase(core),
      queries: new Queries(core),
      recovery: new Recovery(core),
      statusExchange: new StatusExchange(core),
      transfers: new Transfers(core),
      viewChanges: new ViewChanges(core),
      viewTimer: new ViewTimer(core),
    });
    this.#core = core;
  }

  handle(event: EngineEvent, nowMs: number): Effects {
    const core = this.#core;
    core.nowMs = nowMs;
    if (event.kind === 'start') {
      assert(!this.#isStarted, 'a replica starts once');
      this.#isStarted = true;
      restore(core, event.restored);
      core.parts.statusExchange.start();
      core.parts.recovery.start();
    } else if (this.#isStarted) {
      this.#dispatch(event);
    }
    this.#settle();
    return core.out.take(core.genesis);
  }

  #dispatch(event: Exclude<EngineEvent, { kind: 'start' }>): void {
    const { parts } = this.#core;
    switch (event.kind) {
      case 'message':
        return this.#onMessage(event.from, event.message);
      case 'timer':
        return this.#onTimer(event.name);
      case 'saved':
        return parts.checkpoints.onSaved(event.sequence);
      case 'durable':
        return;
      case 'recover':
        return parts.recovery.begin();
      case 'reloaded':
        return parts.recovery.onReloaded(event.checkpoint);
      default:
        unreachable(event);
    }
  }

  #onTimer(name: string): void {
    const { parts } = this.#core;
    if (name === batchTimer) parts.normalCase.onBatchTimer();
    else if (name === requestTimer) parts.viewTimer.onRequestTimer();
    else if (name === viewChangeTimer) parts.viewTimer.onViewChangeTimer();
    else if (name === statusTimer) parts.statusExchange.onTimer();
    else if (name === transferTimer) parts.transfers.onTimer();
    else if (name === lateTimer) parts.transfers.onLateTimer();
    else if (name === recoveryTimer) parts.recovery.onTimer();
    else if (name === pageCheckTimer) parts.recovery.onPageCheckTimer();
    else if (name === recoveryTickTimer) parts.recovery.onTick();
    else if (name === turnTimer) this.#beginTurn();
  }

  /** Answers that nobody orders have a budget for each turn of the process. */
  #beginTurn(): void {
    const { parts } = this.#core;
    this.#isTurnAwaited = false;
    parts.queries.beginTurn();
    parts.clientRequests.beginTurn();
  }

  #awaitTurn(): void {
    const { parts, out, nowMs } = this.#core;
    if (this.#isTurnAwaited) return;
    if (!parts.queries.wantsTurn && !parts.clientRequests.wantsTurn) return;
    this.#isTurnAwaited = true;
    out.timer(turnTimer, nowMs);
  }

  #onMessage(from: Sender, message: ReplicationMessage): void {
    const { out, instance, n, index } = this.#core;
    if (!equalBytes(message.value.instance, instance)) return out.count('other-instance');
    if (from.kind === 'client') return this.#onClientMessage(from, message);
    if (from.index >= n || from.index === index) return out.count('not-a-member');
    this.#onReplicaMessage(from.index, from, message);
  }

  #onClientMessage(from: Sender & { kind: 'client' }, message: ReplicationMessage): void {
    const { parts, out } = this.#core;
    switch (message.name) {
      case 'submitRequest':
        return parts.clientRequests.onSubmit(from, message.value);
      case 'queryRequest':
        return parts.queries.onQuery(from.key, message.value);
      case 'lastNumber':
        return parts.queries.onLastNumber(from.key, message.value);
      default:
        out.count('not-for-clients');
    }
  }

  /**
   * What carries no signature is from whoever the channel belongs to, and a CHECKPOINT counts for nobody else either: it may
   * have been signed ahead. All else that is signed may come from anyone.
   */
  #onReplicaMessage(from: number, sender: Sender, message: ReplicationMessage): void {
    const { parts, out } = this.#core;
    parts.statusExchange.onHeard(from);
    if (!isOfEnded.has(message.name)) parts.checkpoints.answerFinal(from);
    switch (message.name) {
      case 'submitRequest':
        return parts.clientRequests.onSubmit(sender, message.value);
      case 'prePrepare':
        return parts.normalCase.onPrePrepare(from, message.value);
      case 'pbftPrepare':
        return parts.normalCase.onPrepare(from, message.value);
      case 'pbftCommit':
        return parts.normalCase.onCommit(from, message.value);
      case 'committed':
        return parts.statusExchange.onCommitted(from, message.value);
      case 'fetchBody':
        return parts.bodies.onFetch(from, message.value);
      case 'body':
        return parts.bodies.onBody(message.value);
      case 'checkpoint':
        return parts.checkpoints.onVote(from, message.value);
      case 'stableCheckpoint':
        return parts.checkpoints.onCertificate(from, message.value.certificate);
      case 'viewChange':
        return parts.viewChanges.onViewChange(from, message.value);
      case 'newView':
        return parts.newViews.onNewView(from, message.value);
      case 'fetchViewChanges':
        return parts.viewChanges.onFetch(from, message.value);
      case 'pbftStatus':
        return parts.statusExchange.onStatus(from, message.value);
      case 'fetchState':
        return parts.transfers.onFetch(from, message.value);
      case 'newKey':
        if (message.value.replica === this.#core.index) {
          return parts.recovery.onOwnKey(from, message.value);
        }
        return parts.recovery.keys.onNewKey(from, message.value);
      case 'queryStable':
        return parts.recovery.keys.onQueryStable(from, message.value);
      case 'replyStable':
        return parts.recovery.onReplyStable(from, message.value);
      case 'requestReply':
        return parts.recovery.onReply(from, message.value);
      case 'statePart':
        return parts.transfers.onPart(from, message.value);
      default:
        out.count('not-for-replicas');
    }
  }

  /** What follows from the new state of things, whatever the event was. */
  #settle(): void {
    if (!this.#isStarted) return;
    const { parts } = this.#core;
    parts.recovery.settle();
    parts.normalCase.propose();
    parts.clientRequests.handOn();
    parts.viewTimer.refresh();
    parts.statusExchange.settle();
    parts.execution.recordExecuted();
    parts.checkpoints.settle();
    parts.queries.settle();
    this.#awaitTurn();
  }

  isCurrent(view: number): boolean {
    return this.#core.isActive && this.#core.view === view;
  }

  status(): ReplicaStatus {
    const { view, primary, parts, log } = this.#core;
    return {
      view,
      status: this.#statusName(),
      primary,
      executed: parts.execution.executed,
      committed: parts.execution.committed,
      checkpoint: Math.min(log.height, parts.checkpoints.saved),
      transferred: parts.transfers.progress,
      root: toHex(log.certificate.root),
      damage: parts.checkpoints.damage,
      divergedAt: parts.checkpoints.divergedAt,
      parametersDiffer: parts.statusExchange.parametersDiffer,
      waitsFor: this.#awaited(),
    };
  }

  ending(): EngineEnding | undefined {
    return this.#core.parts.checkpoints.ending();
  }

  #awaited(): AwaitedThing | undefined {
    const { parts, isActive } = this.#core;
    const { checkpoints, recovery, statusExchange, transfers, viewChanges, viewTimer } = parts;
    if (checkpoints.isFinished) return undefined;
    if (!statusExchange.isInTouch) return 'members';
    if (transfers.isRunning) return 'state';
    // Until it has recovered from the loss of its disk it is in no view.
    if (recovery.isForgetful) return recovery.isEstimated ? 'recovery' : 'members';
    if (statusExchange.isViewOver) return 'new-view';
    if (!isActive) return viewChanges.hasQuorum ? 'new-view' : 'view-changes';
    if (viewTimer.isMissing) return 'primary';
    return statusExchange.isBehind ? 'batches' : undefined;
  }

  #statusName(): ReplicaStatus['status'] {
    const { parts, isActive } = this.#core;
    if (parts.checkpoints.isFinished) return 'final';
    if (parts.recovery.isRunning) return 'recovering';
    if (parts.transfers.isRunning) return 'transferring';
    return isActive ? 'normal' : 'view-change';
  }
}

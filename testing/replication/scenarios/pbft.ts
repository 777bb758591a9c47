// Scripts for PBFT groups.

import { encodeOperation } from '../../../examples/key-value/index.ts';
import { equalBytes, utf8 } from '../../../src/base/bytes.ts';
import { type LieName, lieMaker } from '../lies/lies.ts';
import type { LieMaker } from '../lies/lying-engine.ts';
import { claimingFirst } from '../lies/view-changes.ts';
import { calmOptions, membersOf, type RunOptions } from '../options.ts';
import { tagSizeBytes } from '../recording-service.ts';
import type { RunSettings } from '../run.ts';
import { playOn, type StageShape } from '../stage.ts';
import { rottenPages } from './page-rot.ts';
import { badNewViews, firstTimeoutMs, misopening } from './pbft-bad-views.ts';
import {
  readsBesideLaggards,
  restlessClient,
  tentativeSurvives,
  tentativeUndone,
  twoBodies,
} from './pbft-clients.ts';
import { rollingCrashes } from './pbft-crashes.ts';
import { blackout, forgottenFlush, preparedByFew, rottenPage, wipedDisk } from './pbft-disks.ts';
import { raving, senselessInput } from './pbft-input.ts';
import { reopening, viewOpenedAgain } from './pbft-new-views.ts';
import { gap, jumpingTo, steadyWork } from './pbft-primaries.ts';
import { starvedReads, starving } from './pbft-reads.ts';
import { busyRestarts, restartTimeoutMs } from './pbft-restarts.ts';
import {
  afterCommit,
  hiddenViewChange,
  nullAtCheckpoint,
  olderClaim,
  oldPlaces,
} from './pbft-views.ts';
import type { Scenario, Script } from './scenario.ts';

type Shape = (faults: number, extra: number) => Partial<StageShape>;

function scenario(
  what: string,
  script: Script,
  shape: Shape = () => ({}),
  isTight = false,
): Scenario {
  return {
    what,
    isTight,
    play: (settings: RunSettings, faults: number, extra: number) =>
      playOn(settings, { engine: 'pbft', faults, ...shape(faults, extra) }, (stage) =>
        script(stage, extra),
      ),
  };
}

function pbft(parameters: RunOptions['pbft']): Shape {
  return () => ({ options: { pbft: { timeoutMs: 300, timeoutMsMax: 8_000, ...parameters } } });
}

/** The members behind the first primary tell this lie. */
function lyingBackups(name: LieName, parameters: RunOptions['pbft']): Shape {
  return (faults) => ({
    lies: new Map(Array.from({ length: faults }, (_, i) => [1 + i, [lieMaker(name)]])),
    options: { pbft: { timeoutMs: 300, timeoutMsMax: 8_000, ...parameters } },
  });
}

const calmMix = calmOptions('pbft', 1).faultMix;

const small = { checkpointInterval: 4, window: 8 };

/** The first primary uses other sequences than it should. */
function jumping(sequenceFor: (sequence: number, window: number) => number): Shape {
  return () => ({
    lies: new Map([[0, [jumpingTo(sequenceFor)]]]),
    options: { pbft: { ...small, timeoutMs: 200, timeoutMsMax: 4_000 } },
  });
}

/** One member is away for long; while it fetches the state, the others move on to later checkpoints. */
const movingTarget: Script = async (stage) => {
  const { session } = stage.client('c0');
  const n = membersOf('pbft', stage.faults);
  const last = stage.names(n - 1, n);
  const rest = stage.names(0, n - 1);
  const [heal, healBack] = [stage.cut(last, rest), stage.cut(rest, last)];
  await stage.work([session], 60);
  // Of one transfer, if nothing else is begun.
  const targets = new Set<number>();
  stage.lose(({ name, value }, from) => {
    if (name === 'fetchState' && last.includes(from)) targets.add(value.sequence);
    return false;
  });
  // One part comes, so that there is something to keep.
  let parts = 0;
  const thin = stage.lose(({ name }) => name === 'statePart' && parts++ > 0);
  heal();
  healBack();
  await stage.until(() => parts > 0, 'the member fetches the state');
  await stage.work([session], 60);
  thin();
  await stage.work([session], 4);
  await stage.together();
  const { metrics } = stage.replica(n - 1).node;
  const started = metrics.counted('replication_events_total', 'transfer-started');
  stage.expect(targets.size > started, `${started} transfers had ${targets.size} targets`);
};

const stopOperation = encodeOperation({ kind: 'stop' });

/** Primaries ignore the operation that ends the instance. */
const deafToStop: LieMaker = () => ({
  onEvent: (event) => {
    if (event.kind !== 'message' || event.message.name !== 'submitRequest') return event;
    const { operation } = event.message.value.request.request;
    return equalBytes(operation.subarray(tagSizeBytes), stopOperation) ? undefined : event;
  },
});

const stopWithheld: Script = async (stage) => {
  const { session } = stage.client('c0');
  const value = await stage.put(session, 'k');
  const ending = await stage.ending(session, { kind: 'stop' });
  stage.expect(ending === 'result', `the end is ordered: ${ending}`);
  const late = await stage.ending(session, { kind: 'put', key: utf8('k'), value: utf8('late|') });
  stage.demand(late === 'ended', `an operation after the end: ${late}`);
  const read = await stage.ending(session, { kind: 'get', key: utf8('k') });
  stage.demand(read === 'ended', `a read after the end: ${read}`);
  await stage.until(
    () => stage.group.correct.every(({ status }) => status?.status === 'final'),
    'all members have the final state',
  );
  stage.expect(value !== '', 'there was a value');
  const { faults } = stage.group.options;
  stage.require(stage.view >= faults, `only ${stage.view} views were left`);
};

/** Until time-outs are long enough, which they are after few doublings, and all is done. */
const slowMsMax = 40_000;

/** f members are dead, and views follow each other while messages take longer than the first time-outs. */
const slowNetwork: Script = async (stage) => {
  const { faults, group, simulation } = stage;
  for (const replica of group.replicas.slice(0, faults)) replica.crash(true);
  const { session } = stage.client('c0');
  const sinceMs = simulation.nowMs;
  await stage.work([session], 10);
  stage.expect(simulation.nowMs - sinceMs < slowMsMax, 'progress takes too long');
  const views = group.correct.map(({ status }) => status?.view ?? 0);
  stage.expect(Math.max(...views) > faults, 'a live primary was left, too, before it had time');
  for (const replica of group.replicas.slice(0, faults)) replica.start();
  await stage.together();
};

/** A PRE-PREPARE reaches one half, another one of the same place the other half: nothing is prepared twice. */
const halves: Shape = () => ({
  lies: new Map([[0, [lieMaker('equivocating')]]]),
  options: { pbft: { ...small, timeoutMs: 200, batchRequests: 4 }, concurrency: 4 },
});

const working: Script = async (stage) => {
  const sessions = ['c0', 'c1', 'c2'].map((name) => stage.client(name).session);
  await stage.work(sessions, 40);
  await stage.together();
};

export const pbftScenarios: Readonly<Record<string, Scenario>> = {
  'two-halves': scenario('the primary proposes two batches for one place', working, halves),
  'bad-new-views': scenario(
    'the next primaries open their views with batches that they may not choose',
    badNewViews,
    (faults) => ({
      lies: new Map(Array.from({ length: faults }, (_, i) => [1 + i, [misopening]])),
      options: { pbft: { ...small, timeoutMs: firstTimeoutMs, timeoutMsMax: 8_000 } },
    }),
  ),
  'hidden-view-change': scenario(
    'a NEW-VIEW names a VIEW-CHANGE that some never got',
    hiddenViewChange,
    pbft(small),
  ),
  'two-bodies': scenario('a client signs two operations under one number', twoBodies, pbft(small)),
  'tentative-survives': scenario(
    'COMMITs are lost after tentative replies, and the primary dies',
    tentativeSurvives(false),
    pbft({ ...small, isTentative: true }),
  ),
  'tentative-survives-restarts': scenario(
    'COMMITs are lost after tentative replies, the primary dies and the others restart',
    tentativeSurvives(true),
    pbft({ ...small, isTentative: true }),
  ),
  'tentative-undone': scenario(
    'one member executes tentatively what the next view does not order',
    tentativeUndone,
    pbft({ ...small, isTentative: true }),
  ),
  'reads-beside-laggards': scenario(
    'f members lie in reads, and others have not executed what is done',
    readsBesideLaggards,
    (faults) => ({
      lies: new Map(
        Array.from({ length: faults }, (_, i) => [
          membersOf('pbft', faults) - 1 - i,
          [lieMaker('stale')],
        ]),
      ),
      options: { pbft: { ...small, timeoutMs: 5_000 } },
    }),
  ),
  'starved-reads': scenario(
    'the primary starves f correct members, and liars answer no client',
    starvedReads,
    (faults) => ({
      lies: new Map(Array.from({ length: faults }, (_, i) => [i, [starving]])),
      options: { pbft: { checkpointInterval: 4, window: 32, timeoutMs: 2_000 } },
    }),
  ),
  'senseless-input': scenario(
    'the first primaries add input that makes no sense',
    senselessInput,
    (faults) => ({
      lies: new Map(Array.from({ length: faults }, (_, i) => [i, [raving]])),
      options: { hasInput: true, pbft: { ...small, timeoutMs: 200, timeoutMsMax: 4_000 } },
    }),
  ),
  'rotten-page': scenario("a page rots on a member's disk", rottenPage, pbft(small)),
  'page-rot': scenario("f members' pages rot in every way", rottenPages, pbft(small)),
  'moving-target': scenario(
    'a checkpoint is collected while a member fetches it',
    movingTarget,
    pbft({ checkpointInterval: 2, window: 4, batchesInFlight: 2 }),
  ),
  'null-at-checkpoint': scenario(
    "a new view fills a checkpoint's place with nothing",
    nullAtCheckpoint,
    pbft({ ...small, batchRequests: 1, batchesInFlight: 8, batchDelayMs: 0 }),
  ),
  'rolling-crashes': scenario('everyone crashes at every moment', rollingCrashes, () => ({
    options: { pbft: { ...small, timeoutMs: 150, timeoutMsMax: 4_000 }, thinkMs: [20, 60] },
  })),
  'busy-restarts': scenario(
    'members come back while clients keep the others busy',
    busyRestarts,
    () => ({
      options: {
        pbft: { checkpointInterval: 64, window: 128, timeoutMs: restartTimeoutMs },
        thinkMs: [5, 30],
      },
    }),
  ),
  'forgotten-flush': scenario(
    'f members forget what they had promised to keep',
    forgottenFlush,
    pbft({ checkpointInterval: 16, window: 32 }),
    true,
  ),
  'prepared-by-few': scenario(
    'f+1 members prepare a batch, and f of them deny it',
    preparedByFew,
    lyingBackups('denying', { checkpointInterval: 16, window: 32 }),
  ),
  'prepared-by-few-tentatively': scenario(
    'f+1 members prepare a batch and execute it tentatively, and f of them deny it',
    preparedByFew,
    lyingBackups('denying', { checkpointInterval: 16, window: 32, isTentative: true }),
  ),
  'claims-of-liars': scenario(
    'f members claim that something else was prepared where a batch is done',
    afterCommit(() => 1),
    lyingBackups('usurping', { checkpointInterval: 16, window: 32 }),
  ),
  'few-view-changes': scenario(
    '2f members are up, f of them deny what is done and f know nothing of it',
    afterCommit((faults) => faults + 1),
    (faults) => ({
      lies: new Map(
        Array.from({ length: faults }, (_, i) => [faults + 1 + i, [lieMaker('denying')]]),
      ),
      options: {
        pbft: { checkpointInterval: 16, window: 32, timeoutMs: 300, timeoutMsMax: 8_000 },
      },
    }),
  ),
  'older-claim': scenario(
    'f members claim that what was only proposed was prepared, before something else was done',
    olderClaim,
    (faults) => ({
      lies: new Map(Array.from({ length: faults }, (_, i) => [2 + i, [claimingFirst]])),
      options: {
        pbft: { checkpointInterval: 16, window: 32, timeoutMs: 300, timeoutMsMax: 8_000 },
      },
    }),
  ),
  'gap-in-the-order': scenario(
    'a primary leaves out a sequence',
    gap(false),
    jumping((sequence) => sequence + 1),
  ),
  'jump-to-the-mark': scenario(
    'a primary orders at the last sequence that there is',
    gap(false),
    jumping((sequence, window) => sequence + window - 3),
  ),
  'jump-above-the-mark': scenario(
    'a primary orders above the last sequence that there is',
    gap(true),
    jumping((sequence, window) => sequence + window),
  ),
  'steady-work': scenario('clients never pause, and the primary is good', steadyWork, () => ({
    options: {
      concurrency: 4,
      thinkMs: [0, 1],
      mix: { get: 0, orderedGet: 0, put: 1, delete: 0, swap: 0, scan: 0 },
      keys: 8,
      pbft: { timeoutMs: 300, timeoutMsMax: 8_000, batchRequests: 2, batchesInFlight: 4 },
      // Longer than what executes them, so that there is always something under way.
      faultMix: { ...calmMix, latencyUs: [5_000, 10_000] },
    },
  })),
  'old-places': scenario(
    'primaries order something else where a stable checkpoint is',
    oldPlaces,
    lyingBackups('reordering', small),
  ),
  'view-opened-again': scenario(
    'a primary opens its view again and again, and f members give old results',
    viewOpenedAgain,
    (faults) => ({
      lies: new Map(
        Array.from({ length: faults }, (_, i) => [
          1 + i,
          [i === 0 ? reopening : lieMaker('stale')],
        ]),
      ),
      options: { pbft: { checkpointInterval: 16, window: 32, timeoutMs: 1_000 } },
    }),
  ),
  'stop-withheld': scenario(
    'primaries withhold the end of the instance',
    stopWithheld,
    (faults) => ({
      lies: new Map(Array.from({ length: faults }, (_, index) => [index, [deafToStop]])),
      options: { pbft: { ...small, timeoutMs: 300, timeoutMsMax: 8_000 } },
    }),
  ),
  blackout: scenario('power fails everywhere when a client is answered', blackout, pbft(small)),
  'slow-network': scenario(
    'f are dead, and messages take longer than the first time-outs',
    slowNetwork,
    () => ({
      options: {
        pbft: { ...small, timeoutMs: 100, timeoutMsMax: 20_000 },
        faultMix: {
          latencyUs: [200_000, 400_000],
          inOrder: false,
          diskLatencyUs: [50, 300],
          diskStallOneIn: 0,
          clockRatePpmMax: 10_000,
        },
      },
    }),
  ),
  'wiped-disk': scenario('a disk is replaced by an empty one', wipedDisk, pbft(small)),
  'restless-client': scenario(
    'a client dies and comes back again and again',
    restlessClient,
    pbft(small),
  ),
};

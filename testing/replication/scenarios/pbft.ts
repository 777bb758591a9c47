// Scripts for PBFT groups.

import { encodeOperation } from '../../../examples/key-value/index.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import { type LieName, lieMaker } from '../lies/lies.ts';
import type { LieMaker } from '../lies/lying-engine.ts';
import { membersOf, type RunOptions } from '../options.ts';
import { RawClient } from '../raw-client.ts';
import { tagged } from '../recording-service.ts';
import type { RunSettings } from '../run.ts';
import { playOn, type Stage, type StageShape } from '../stage.ts';
import { rottenPages } from './page-rot.ts';
import {
  blackout,
  forgottenFlush,
  preparedByFew,
  rollingCrashes,
  rottenPage,
  wipedDisk,
} from './pbft-disks.ts';
import { reopening, viewOpenedAgain } from './pbft-new-views.ts';
import type { Scenario } from './scenario.ts';

type Script = (stage: Stage, extra: number) => Promise<void>;
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

const small = { checkpointInterval: 4, window: 8 };

/** A NEW-VIEW names a VIEW-CHANGE that some members never got: they fetch it. */
const hiddenViewChange: Script = async (stage) => {
  const { session } = stage.client('c0');
  await stage.put(session, 'k');
  const n = membersOf('pbft', stage.faults);
  const heal = stage.cut([`r${n - 2}`], [`r${n - 1}`], 'viewChange');
  // The last one alone: others would hand it on when asked for its status.
  stage.replica(0).crash();
  await stage.put(session, 'k');
  await stage.until(
    () => stage.group.correct.every(({ status }) => status === undefined || status.view > 0),
    'all that are up enter a later view',
  );
  heal();
  stage.replica(0).start();
  await stage.work([session], 6);
  await stage.together();
};

/** A client signs two operations under one number and shares them out. */
const twoBodies: Script = async (stage) => {
  const { group } = stage;
  const liar = new RawClient(group, 'two-faced');
  group.expectEquivocation(liar.signer.publicKey);
  const put = (value: string): Uint8Array =>
    tagged(group.nextTag(), encodeOperation({ kind: 'put', key: utf8('k'), value: utf8(value) }));
  const [one, other] = [put('one|'), put('other|')];
  liar.submit([0, 1], 1, one);
  liar.submit(group.group.members.map((_, i) => i).slice(2), 1, other);
  const { session } = stage.client('c0');
  await stage.work([session], 10);
  await stage.simulation.runFor(3_000);
  liar.submit(
    group.group.members.map((_, i) => i),
    1,
    one,
  );
  await stage.simulation.runFor(1_000);
  const executed = [one, other].filter((operation) =>
    group.agreement.hasExecuted(Buffer.from(operation.subarray(0, 8)).toString('hex')),
  );
  stage.demand(executed.length === 1, `${executed.length} of two operations under one number ran`);
  stage.expect(liar.replies.length > stage.faults, 'the number is answered');
  await stage.together();
};

/** Replies are tentative and enough, COMMITs are lost, the primary dies: the result stays. */
const tentativeSurvives: Script = async (stage) => {
  const { session } = stage.client('c0');
  await stage.put(session, 'other');
  const heal = stage.lose(
    ({ name }) => name === 'pbftCommit' || name === 'committed' || name === 'pbftStatus',
  );
  const value = await stage.put(session, 'k');
  stage.replica(0).crash(true);
  heal();
  const { session: reader } = stage.client('c1');
  stage.demand(
    (await stage.get(reader, 'k')) === value,
    'a tentative result was accepted, and lost',
  );
  stage.replica(0).start();
  await stage.together();
};

/**
 * The last member alone has a batch prepared, and executes it. The next primary never heard of that batch, and puts
 * another one in its place.
 */
const tentativeUndone: Script = async (stage) => {
  const { session } = stage.client('c0');
  const n = membersOf('pbft', stage.faults);
  const last = stage.replica(n - 1);
  const others = stage.names(0, n - 1);
  await stage.put(session, 'other');
  await stage.simulation.runFor(500);
  const unheard = stage.cut(['c0', ...stage.names(0)], ['r1'], 'submitRequest', 'prePrepare');
  const cuts = [
    stage.cut(stage.names(0), others, 'pbftPrepare'),
    stage.cut(stage.names(0), stage.names(0), 'pbftCommit', 'pbftStatus', 'committed'),
  ];
  await stage.tryPut(session, 'k', 100);
  cuts.push(stage.cut([last.name], others), stage.cut(others, [last.name]));
  const { session: writer } = stage.client('c1');
  const put = { kind: 'put', key: utf8('other'), value: writer.newValue(20) } as const;
  const writing = writer.perform(put, 100_000);
  await stage.until(
    () => stage.group.replicas.slice(0, n - 1).every(({ status }) => (status?.view ?? 0) > 0),
    'the others enter a later view',
  );
  for (const heal of cuts) heal();
  const ending = await stage.simulation.complete(writing, 200_000);
  stage.expect(ending === 'result', 'another write takes the place');
  unheard();
  await stage.work([writer], 6);
  await stage.together();
};

/** f members lie in reads and f correct ones are behind: a read gives the new value, or is ordered. */
const readsBesideLaggards: Script = async (stage) => {
  const { session } = stage.client('c0');
  const n = membersOf('pbft', stage.faults);
  await stage.put(session, 'k');
  await stage.get(session, 'k');
  // The first f+1 learn that it is committed; the rest have it prepared and no more.
  const heal = stage.cut(
    stage.names(0),
    stage.names(1, n - stage.faults),
    'pbftCommit',
    'committed',
  );
  const value = await stage.put(session, 'k');
  const { session: reader } = stage.client('c1');
  const read = stage.get(reader, 'k');
  stage.demand((await read) === value, 'a read gave what was replaced');
  heal();
  await stage.together();
};

/** One member is away for long; while it fetches the state, the others move on to later checkpoints. */
const movingTarget: Script = async (stage) => {
  const { session } = stage.client('c0');
  const n = membersOf('pbft', stage.faults);
  const last = stage.names(n - 1, n);
  const rest = stage.names(0, n - 1);
  const [heal, healBack] = [stage.cut(last, rest), stage.cut(rest, last)];
  await stage.work([session], 60);
  let parts = 0;
  const thin = stage.lose(({ name }) => name === 'statePart' && parts++ % 3 !== 0);
  heal();
  healBack();
  await stage.work([session], 60);
  thin();
  await stage.work([session], 4);
  await stage.together();
};

/** The batch at a checkpoint's place reaches nobody, the one behind it does; the primary dies. */
const nullAtCheckpoint: Script = async (stage) => {
  const { session } = stage.client('c0');
  const heal = stage.lose(({ name, value }) => name === 'prePrepare' && value.sequence === 4);
  const writes = Array.from({ length: 6 }, (_, i) =>
    session.perform({ kind: 'put', key: utf8(`k${i % 2}`), value: session.newValue(12) }, 60_000),
  );
  await stage.simulation.runFor(100);
  stage.replica(0).crash(true);
  heal();
  for (const write of writes) {
    stage.expect((await stage.simulation.complete(write, 120_000)) === 'result', 'a put was lost');
  }
  stage.replica(0).start();
  await stage.work([session], 10);
  await stage.together();
  stage.expect(stage.group.agreement.checkpoints > 0, 'a checkpoint is taken');
};

/** What everyone needs for a view has been done; the primary dies; f liars say something else of it. */
function afterCommit(deadMembers: (faults: number) => number): Script {
  return async (stage) => {
    const { faults, group } = stage;
    const n = membersOf('pbft', faults);
    const { session } = stage.client('c0');
    for (let i = 0; i < 3; i++) await stage.put(session, 'other');
    await stage.simulation.runFor(500);
    // The last f are behind: what they do next they do by the new view's word.
    const heal = stage.cut(stage.names(0, n), stage.names(n - faults, n));
    const value = await stage.put(session, 'k');
    await stage.simulation.runFor(100);
    const dead = group.replicas.slice(0, deadMembers(faults));
    for (const replica of dead) replica.crash(true);
    heal();
    const kept = stage.cut(
      stage.names(0, n),
      stage.names(n - faults, n),
      'committed',
      'pbftStatus',
    );
    const { session: writer } = stage.client('c1');
    await stage.tryPut(writer, 'other', 8_000);
    await stage.tryPut(writer, 'other', 8_000);
    kept();
    for (const replica of dead) replica.start();
    stage.demand((await stage.get(writer, 'k', true)) === value, 'what was done is gone');
    await stage.work([writer], 4);
    await stage.together();
  };
}

/**
 * A checkpoint is known to be stable to liars alone, who are the next primaries; they order something else where its
 * batches are, and f members are behind.
 */
const oldPlaces: Script = async (stage) => {
  const { faults } = stage;
  const n = membersOf('pbft', faults);
  const { session } = stage.client('c0');
  const liars = stage.names(1, 1 + faults);
  const all = stage.names(0, n);
  const honest = all.filter((name) => !liars.includes(name));
  await stage.put(session, 'k');
  await stage.simulation.runFor(300);
  const keep = stage.cut(all, honest, 'checkpoint', 'stableCheckpoint');
  const keepStatus = stage.cut(all, honest, 'pbftStatus', 'committed', 'statePart');
  const heal = stage.cut(all, stage.names(n - faults, n));
  for (let i = 0; i < 4; i++) await stage.put(session, `k${i % 2}`);
  await stage.simulation.runFor(100);
  stage.replica(0).crash(true);
  heal();
  await stage.tryPut(session, 'k', 1_500);
  stage.replica(0).start();
  await stage.simulation.runFor(3_000);
  keep();
  keepStatus();
  await stage.work([session], 6);
  await stage.together();
};

/** The primary ignores the operation that ends the instance. */
const deafToStop: LieMaker = () => ({
  onEvent: (event) => {
    if (event.kind !== 'message' || event.message.name !== 'submitRequest') return event;
    const { operation } = event.message.value.request.request;
    // Tag, then the operation's code.
    return operation.length === 9 ? undefined : event;
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
};

/** Views follow each other while messages take longer than the first time-outs. */
const slowNetwork: Script = async (stage) => {
  const { session } = stage.client('c0');
  await stage.work([session], 10);
  await stage.together();
};

/** Two clients, and a client that dies and comes back many times without an answer in between. */
const restlessClient: Script = async (stage) => {
  const { machine, session } = stage.client('c0');
  await stage.put(session, 'k');
  for (let i = 0; i < 6; i++) {
    const current = machine.session ?? session;
    const pending = current.perform(
      { kind: 'put', key: utf8('k'), value: current.newValue(12) },
      60_000,
    );
    void pending;
    await stage.simulation.runFor(stage.group.prng.below(4));
    machine.crash();
    machine.start();
    await stage.simulation.runFor(stage.group.prng.below(10));
  }
  await stage.work([machine.session ?? session], 10);
  await stage.together();
};

/** A PRE-PREPARE reaches one half, another one of the same place the other half: nothing is prepared twice. */
const halves: Shape = (faults) => ({
  lies: new Map([[0, [lieMaker('equivocating')]]]),
  options: { pbft: { ...small, timeoutMs: 200, batchRequests: 4 }, concurrency: 4, faults },
});

/** Two members under one key, each in touch with a half of the others. */
const twins: Script = async (stage) => {
  const sessions = ['c0', 'c1'].map((name) => stage.client(name).session);
  await stage.work(sessions, 20);
  await stage.together();
};

const working: Script = async (stage) => {
  const sessions = ['c0', 'c1', 'c2'].map((name) => stage.client(name).session);
  await stage.work(sessions, 40);
  await stage.together();
};

export const pbftScenarios: Readonly<Record<string, Scenario>> = {
  'two-halves': scenario('the primary proposes two batches for one place', working, halves),
  'twin-primary': scenario('the primary runs twice, with one key', twins, (faults) => ({
    twins: Array.from({ length: faults }, (_, i) => i),
    options: { pbft: { ...small, timeoutMs: 200, timeoutMsMax: 4_000 } },
  })),
  'hidden-view-change': scenario(
    'a NEW-VIEW names a VIEW-CHANGE that some never got',
    hiddenViewChange,
    pbft(small),
  ),
  'two-bodies': scenario('a client signs two operations under one number', twoBodies, pbft(small)),
  'tentative-survives': scenario(
    'COMMITs are lost after tentative replies, and the primary dies',
    tentativeSurvives,
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
  'rolling-crashes': scenario('everyone crashes at every moment', rollingCrashes, pbft(small)),
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
  'stop-withheld': scenario('the primary withholds the end of the instance', stopWithheld, () => ({
    lies: new Map([[0, [deafToStop]]]),
    options: { pbft: { ...small, timeoutMs: 300, timeoutMsMax: 8_000 } },
  })),
  blackout: scenario('power fails everywhere when a client is answered', blackout, pbft(small)),
  'slow-network': scenario('messages take longer than the first time-outs', slowNetwork, () => ({
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
  })),
  'wiped-disk': scenario('a disk is replaced by an empty one', wipedDisk, pbft(small)),
  'restless-client': scenario(
    'a client dies and comes back again and again',
    restlessClient,
    pbft(small),
  ),
};

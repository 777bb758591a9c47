// Scripts for PBFT groups about what clients send, and what they are told.

import { encodeOperation } from '../../../examples/key-value/index.ts';
import { utf8 } from '../../../src/base/bytes.ts';
import { membersOf } from '../options.ts';
import { RawClient } from '../raw-client.ts';
import { tagged } from '../recording-service.ts';
import type { Script } from './scenario.ts';

/** A client signs two operations under one number and shares them out. */
export const twoBodies: Script = async (stage) => {
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
  stage.demand(group.isConvicted(liar.signer.publicKey), 'nobody can prove what the client did');
  await stage.together();
};

/**
 * Replies are tentative and enough, no COMMIT of the view arrives, the primary dies: the result is in the next view.
 * @param restarts whether the others lose their memories, and with them the request: only what they have on their disks
 * says that the batch was prepared.
 */
export function tentativeSurvives(restarts: boolean): Script {
  return async (stage) => {
    const { group, simulation } = stage;
    const { machine, session } = stage.client('c0');
    await stage.put(session, 'other');
    await simulation.runFor(500);
    const done = group.replicas.map(({ status }) => status?.executed);
    const heal = stage.lose(({ name, value }) => name === 'pbftCommit' && value.view === 0);
    const value = await stage.put(session, 'k');
    stage.demand(
      group.replicas.every(({ status }, i) => status?.executed === done[i]),
      'the result was for good at once',
    );
    // Nobody asks for it any more.
    machine.crash();
    const [first, ...others] = group.replicas;
    first?.crash(true);
    if (restarts) {
      for (const replica of others) replica.crash(true);
      await simulation.runFor(100);
      for (const replica of others) replica.start();
    }
    const { session: writer } = stage.client('c1');
    await stage.put(writer, 'other');
    heal();
    stage.demand(
      others.every(({ status }) => status === undefined || status.view > 0),
      'the view in which the result was tentative was not left',
    );
    const { session: reader } = stage.client('c2');
    stage.demand(
      (await stage.get(reader, 'k')) === value,
      'a tentative result was accepted, and lost',
    );
    first?.start();
    await stage.together();
  };
}

/**
 * The last member alone has a batch prepared, and executes it. The next primary never heard of that batch, and puts
 * another one in its place.
 */
export const tentativeUndone: Script = async (stage) => {
  const { session } = stage.client('c0');
  const n = membersOf('pbft', stage.faults);
  const last = stage.replica(n - 1);
  const others = stage.names(0, n - 1);
  await stage.put(session, 'other');
  await stage.simulation.runFor(500);
  const unheard = stage.cut(['c0', ...stage.names(0)], ['r1'], 'submitRequest', 'prePrepare');
  const cuts = [
    stage.cut(stage.names(0), others, 'pbftPrepare'),
    stage.cut(stage.names(0), stage.names(0), 'pbftCommit', 'committed'),
    // Nothing is asked for again, but that patience is lost is heard.
    stage.lose(({ name, value }) => name === 'pbftStatus' && value.isDoubting === 0),
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
export const readsBesideLaggards: Script = async (stage) => {
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

/** Two clients, and a client that dies and comes back many times without an answer in between. */
export const restlessClient: Script = async (stage) => {
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

// Changes of keys that a member has missed, that an intruder wrote into a journal, or that a module does not sign.

import { describe, expect, it } from 'vitest';
import type { Bytes } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { Signer } from '../../crypto/signature.ts';
import type { MemberSigner } from './core.ts';
import { decodeRecord, encodeRecord } from './records.ts';
import { TestCluster, testInstance } from './test-cluster.ts';

const parameters = {
  checkpointInterval: 4,
  window: 8,
  timeoutMs: 2000,
  timeoutMsMax: 5000,
  statusIntervalMs: 20,
  idleStatusIntervalMs: 100,
};
const [laggard, recovered] = [2, 3];

function write(cluster: TestCluster, times: number): void {
  for (let i = 0; i < times; i++) {
    const { length } = cluster.outcomes;
    cluster.client(0).write();
    expect(cluster.run(cluster.nowMs + 10_000, () => cluster.outcomes.length > length)).toBe(true);
  }
}
function recover(cluster: TestCluster, member: number): void {
  const times = cluster.count('recovery-done') + 1;
  cluster.recover(member);
  const isOver = () => cluster.count('recovery-done') === times;
  expect(cluster.run(cluster.nowMs + 3_600_000, isOver)).toBe(true);
}
const demanded = (cluster: TestCluster, at: number, of: number): number =>
  cluster.replica(at).keyCounters[of] ?? 0;

describe('who did not hear a change of keys when it was made', () => {
  it('hears of it when it was down', () => {
    const cluster = new TestCluster({ seed: 21, parameters });
    write(cluster, 3);
    cluster.crash(laggard);
    recover(cluster, recovered);
    cluster.restart(laggard);
    write(cluster, 20);
    cluster.run(cluster.nowMs + 600_000);
    expect(cluster.replica(laggard).engine.status().status).toBe('normal');
    expect(demanded(cluster, laggard, recovered)).toBe(1);
  });
  it('hears of it when it runs for the first time', () => {
    const cluster = new TestCluster({ seed: 22, parameters, absent: [laggard] });
    write(cluster, 3);
    recover(cluster, recovered);
    cluster.restart(laggard);
    write(cluster, 20);
    cluster.run(cluster.nowMs + 600_000);
    expect(cluster.replica(laggard).engine.status().status).toBe('normal');
    expect(demanded(cluster, laggard, recovered)).toBe(1);
  });
  it('hears of it when it has lost its disk', () => {
    const cluster = new TestCluster({ seed: 23, parameters });
    write(cluster, 3);
    recover(cluster, recovered);
    expect(demanded(cluster, laggard, recovered)).toBe(1);
    const times = cluster.count('recovery-done') + 1;
    cluster.wipe(laggard);
    expect(
      cluster.run(cluster.nowMs + 600_000, () => cluster.count('recovery-done') === times),
    ).toBe(true);
    write(cluster, 20);
    cluster.run(cluster.nowMs + 600_000);
    expect(demanded(cluster, laggard, recovered)).toBe(1);
  });
  it('hears of it by its own recovery, when an intruder had it forget', () => {
    const cluster = new TestCluster({ seed: 24, parameters });
    write(cluster, 3);
    recover(cluster, recovered);
    const replica = cluster.replica(laggard);
    cluster.run(cluster.nowMs + 1000);
    cluster.crash(laggard);
    // The intruder writes the journal.
    const isTheirs = (record: Bytes) => {
      const decoded = decodeRecord(record);
      return decoded?.name === 'newKey' && decoded.value.replica === recovered;
    };
    expect(replica.durable.some(isTheirs)).toBe(true);
    replica.durable = replica.durable.filter((record) => !isTheirs(record));
    cluster.restart(laggard);
    recover(cluster, laggard);
    write(cluster, 20);
    cluster.run(cluster.nowMs + 600_000);
    expect(demanded(cluster, laggard, recovered)).toBe(1);
  });
});

describe('changes of keys that an intruder made up in the journal', () => {
  const far = 2 ** 36;
  const plant = (cluster: TestCluster, at: number, of: number): void => {
    cluster.crash(at);
    const bogus = {
      instance: testInstance,
      replica: of,
      counter: far,
      forgotten: 0,
      signature: new Uint8Array(64),
    };
    cluster.replica(at).durable.push(encodeRecord('newKey', bogus));
  };
  it('do not keep the member from starting', () => {
    const cluster = new TestCluster({ seed: 25, parameters });
    write(cluster, 3);
    const signer: MemberSigner = cluster.signers[recovered] as Signer;
    signer.keyChanges = () => 0;
    plant(cluster, recovered, recovered);
    expect(() => cluster.restart(recovered)).not.toThrow();
  });
  it('do not have it demand of others what nobody signed', () => {
    const cluster = new TestCluster({ seed: 26, parameters });
    write(cluster, 3);
    plant(cluster, laggard, recovered);
    cluster.restart(laggard);
    expect(demanded(cluster, laggard, recovered)).toBe(0);
  });
  it('are gone after its recovery', () => {
    const cluster = new TestCluster({ seed: 26, parameters });
    write(cluster, 3);
    plant(cluster, laggard, recovered);
    cluster.restart(laggard);
    recover(cluster, laggard);
    recover(cluster, recovered);
    cluster.run(cluster.nowMs + 60_000);
    expect(demanded(cluster, laggard, recovered)).toBe(1);
  });
});

describe('a module whose allowance an intruder has used up', () => {
  it('does not end the member, and it recovers when it may', () => {
    const cluster = new TestCluster({ seed: 28, parameters });
    write(cluster, 3);
    const signer = cluster.signers[recovered] as Signer & MemberSigner;
    const { sign } = signer;
    let isSpent = true;
    signer.keyChanges = () => 1024;
    signer.sign = (statement) => {
      if (isSpent && new TextDecoder().decode(statement).includes('new-key'))
        throw new HoldfastError('not-permitted', 'keys were changed too often');
      return sign.call(signer, statement);
    };
    cluster.plan(60_000, () => {
      isSpent = false;
    });
    expect(() => cluster.recover(recovered)).not.toThrow();
    expect(cluster.run(cluster.nowMs + 600_000, () => cluster.count('recovery-done') > 0)).toBe(
      true,
    );
  });
});

describe('a module that knows of more changes of keys than the journal', () => {
  it('has the member recover at the start: one was interrupted, or was not its own', () => {
    const cluster = new TestCluster({ seed: 29, parameters });
    write(cluster, 3);
    const signer: MemberSigner = cluster.signers[recovered] as Signer;
    // Signed, and the process ended before the record was durable.
    signer.keyChanges = () => 1;
    cluster.crash(recovered);
    cluster.restart(recovered);
    expect(cluster.run(cluster.nowMs + 600_000, () => cluster.count('recovery-done') > 0)).toBe(
      true,
    );
  });
});

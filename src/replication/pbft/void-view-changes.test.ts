// A VIEW-CHANGE of before the loss of its author's disk, kept by a liar, and a third member that loses its disk later.

import { describe, expect, it } from 'vitest';
import type { Signer } from '../../crypto/signature.ts';
import type { NewKey, ViewChange } from '../../wire/pbft.ts';
import { newKeyBytes } from './statements.ts';
import { TestCluster, testInstance } from './test-cluster.ts';
import {
  genesisCertificate,
  prePrepareOf,
  requestOf,
  signedNewView,
  signedViewChange,
} from './test-messages.ts';

const parameters = {
  checkpointInterval: 4,
  window: 8,
  timeoutMs: 200,
  timeoutMsMax: 2000,
  statusIntervalMs: 20,
  idleStatusIntervalMs: 100,
};
function write(cluster: TestCluster, times: number): void {
  for (let i = 0; i < times; i++) {
    const { length } = cluster.outcomes;
    cluster.client(0).write();
    expect(cluster.run(cluster.nowMs + 10_000, () => cluster.outcomes.length > length)).toBe(true);
  }
}
function lost(cluster: TestCluster, member: number, andThen = (): void => {}): void {
  const times = cluster.count('recovery-done') + 1;
  cluster.wipe(member);
  andThen();
  expect(cluster.run(cluster.nowMs + 300_000, () => cluster.count('recovery-done') === times)).toBe(
    true,
  );
  write(cluster, 4);
}

describe('a void VIEW-CHANGE, after a liar has told who lost its disk of the older of two losses', () => {
  it.each(['none', 'told', 'interrupted'])('opens no view; %s', (how) => {
    const isTold = how === 'told';
    const [a, liar, c, d] = [0, 1, 2, 3];
    const cluster = new TestCluster({ seed: 3, parameters, clients: 2 });
    const certificate = genesisCertificate(cluster);
    write(cluster, 6);
    lost(cluster, c);
    const stated = { replica: c, counter: 1, forgotten: 1 };
    const older: NewKey = {
      instance: testInstance,
      ...stated,
      signature: (cluster.signers[c] as Signer).sign(newKeyBytes(testInstance, stated)),
    };
    // Member c loses patience with view 0, the liar says so too: it leaves. The others do not, and the liar keeps what it said.
    const ofC = signedViewChange(cluster, { replica: c, view: 1, forgotten: 1, certificate });
    cluster.run(cluster.nowMs + 70 * 200);
    lost(cluster, c);
    cluster.run(cluster.nowMs + 70 * 200);
    lost(cluster, d, () => {
      if (isTold) cluster.speak(liar, d, 'newKey', older);
      if (how !== 'interrupted') return;
      // What member c itself says of that is lost, or long under way.
      cluster.filter = (from, to, { name }) => from !== c || to !== d || name !== 'newKey';
      const started = cluster.count('recovery-started') + 1;
      expect(
        cluster.run(cluster.nowMs + 60_000, () => cluster.count('recovery-started') === started),
      ).toBe(true);
      cluster.run(cluster.nowMs + 1);
      cluster.crash(d);
      cluster.restart(d);
    });
    const status = (at: number) => cluster.replica(at).engine.status();
    while (status(a).executed % 4 !== 0) write(cluster, 1);
    cluster.run(cluster.nowMs + 1000);
    expect(
      [a, c, d].map((at) => [
        status(at).view,
        status(at).status,
        status(at).executed === status(a).checkpoint,
      ]),
    ).toEqual([a, c, d].map(() => [0, 'normal', true]));
    const height = status(a).executed;
    // What goes to member d is long under way: the batch is committed without it.
    let vcD: ViewChange | undefined;
    cluster.filter = (from, to, { name, value }) => {
      if (name === 'viewChange' && from === d) vcD = value;
      return from !== d && to !== d;
    };
    write(cluster, 1);
    cluster.run(cluster.nowMs + 30);
    expect([a, c].map((at) => status(at).executed)).toEqual([height + 1, height + 1]);
    // Now member a is the slow one. Member 1 says only what is said here.
    cluster.crash(liar);
    cluster.filter = (from, to, { name, value }) => {
      if (name === 'viewChange' && from === d) vcD = value;
      return from !== a && to !== a && from !== liar && to !== liar;
    };
    const ofLiar = signedViewChange(cluster, { replica: liar, view: 1, certificate });
    cluster.speak(liar, d, 'viewChange', ofC);
    cluster.speak(liar, d, 'viewChange', ofLiar);
    cluster.run(cluster.nowMs + 5);
    if (vcD !== undefined && vcD.statement.view === 1) {
      const newView = signedNewView(cluster, [ofLiar, ofC, vcD], [], height);
      cluster.speak(liar, d, 'newView', newView);
      for (const each of [ofLiar, vcD]) cluster.speak(liar, c, 'viewChange', each);
      cluster.speak(liar, c, 'newView', newView);
      cluster.speak(liar, c, 'viewChange', ofC);
      const { requests, digest } = requestOf(cluster, 1, 77);
      for (const to of [d, c])
        cluster.speak(liar, to, 'prePrepare', prePrepareOf(1, height + 1, requests));
      cluster.run(cluster.nowMs + 20);
      cluster.speak(liar, d, 'pbftCommit', {
        instance: testInstance,
        view: 1,
        sequence: height + 1,
        digest,
      });
      cluster.run(cluster.nowMs + 20);
    }
    expect({ view: status(d).view, viewC: status(c).view, problems: cluster.problems() }).toEqual({
      view: 0,
      viewC: 0,
      problems: [],
    });
  });
});

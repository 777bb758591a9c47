// A disk that gives something else than what was saved: the member repairs itself from the others, and says nothing that
// contradicts what it said before.

import { describe, expect, it } from 'vitest';
import { toHex } from '../../base/bytes.ts';
import { diskForgottenCode } from '../contract.ts';
import { damages, type StoredPages } from '../test-damage.ts';
import { genesisOf, TestCluster, type TestClusterOptions } from './test-cluster.ts';
import { stopOperation } from './test-service.ts';

const parameters = {
  checkpointInterval: 4,
  window: 8,
  timeoutMs: 100,
  statusIntervalMs: 20,
  idleStatusIntervalMs: 100,
  batchRequests: 1,
};
/** The member whose disk is damaged. */
const victim = 3;

class Rig {
  readonly cluster: TestCluster;
  /** Pages that were sent to the victim. */
  pagesSent = 0;

  constructor(options: Partial<TestClusterOptions> = {}) {
    this.cluster = new TestCluster({ seed: 1, clients: 2, parameters, ...options });
    this.cluster.filter = (_, to, message) => {
      if (to === victim && message.name === 'statePart') {
        this.pagesSent += message.value.pages.length;
      }
      return true;
    };
  }

  get status() {
    return this.cluster.replica(victim).engine.status();
  }

  get saved() {
    const { saved } = this.cluster.replica(victim);
    if (saved === undefined) throw new TypeError('nothing was saved');
    return saved;
  }

  write(count: number): void {
    const { cluster } = this;
    for (let i = 0; i < count; i++) {
      cluster.client(i % 2).write();
      const wanted = cluster.outcomes.length + 1;
      expect(cluster.run(cluster.nowMs + 5000, () => cluster.outcomes.length === wanted)).toBe(
        true,
      );
    }
  }

  rest(forMs = 500): void {
    this.cluster.run(this.cluster.nowMs + forMs);
  }

  /** The victim stops, something happens to its disk, and it starts again. */
  restart(harm: () => void = () => {}): void {
    this.cluster.crash(victim);
    harm();
    this.cluster.restart(victim);
  }

  damage(play: (pages: StoredPages) => void): void {
    const { saved } = this;
    const pages = new Map(saved.pages);
    play(pages);
    this.cluster.replica(victim).saved = { ...saved, pages };
  }

  expectWell(executed: number): void {
    const { cluster } = this;
    expect(cluster.replicas.map(({ engine }) => engine.status().executed)).toEqual(
      cluster.replicas.map(() => executed),
    );
    expect(this.status.status).toBe('normal');
    expect(cluster.count('checkpoint-contradicts-own')).toBe(0);
    expect(cluster.count('transfer-wrong')).toBe(0);
    expect(cluster.evidence).toEqual([]);
    expect(cluster.problems()).toEqual([]);
  }
}

describe.each(damages)('$what', ({ codes, fetched, play }) => {
  it('is noticed before anyone sees it, and repaired with what differs only', () => {
    const rig = new Rig();
    rig.write(4);
    rig.rest();
    const older = new Map(rig.saved.pages);
    rig.write(21);
    rig.rest();
    const count = rig.saved.pages.size;
    rig.restart(() => rig.damage((pages) => play(pages, older)));
    expect(rig.status.damage).toEqual(codes);
    for (const code of codes) expect(rig.cluster.count(code)).toBe(1);
    const isLost = codes.includes('disk-pages-differ');
    expect(rig.status.status).toBe(isLost ? 'transferring' : 'normal');
    rig.rest();
    rig.expectWell(25);
    expect(rig.pagesSent).toBe(fetched ?? count);
    // The next whole checkpoint leaves nothing of it on the disk.
    rig.write(8);
    rig.rest();
    expect(rig.status.damage).toEqual([]);
    rig.restart();
    expect(rig.status).toMatchObject({ damage: [], status: 'normal' });
    rig.rest();
    rig.expectWell(33);
  });

  it('is repaired while the others go on, and the member is needed again', () => {
    const rig = new Rig();
    rig.write(25);
    rig.rest();
    const older = new Map(rig.saved.pages);
    rig.restart(() => rig.damage((pages) => play(pages, older)));
    rig.write(12);
    rig.rest();
    rig.cluster.crash(1);
    rig.write(6);
    rig.cluster.restart(1);
    rig.rest(2000);
    rig.expectWell(43);
  });
});

describe('a table', () => {
  it('that is older than the journal is brought up to date', () => {
    const rig = new Rig();
    rig.write(8);
    rig.rest();
    const old = rig.saved;
    rig.write(17);
    rig.rest();
    rig.restart(() => {
      rig.cluster.replica(victim).saved = old;
    });
    expect(rig.status).toMatchObject({ status: 'transferring', executed: 8, damage: [] });
    rig.rest();
    rig.expectWell(25);
  });

  it('that is gone is fetched whole', () => {
    const rig = new Rig();
    rig.write(25);
    rig.rest();
    rig.restart(() => {
      rig.cluster.replica(victim).saved = undefined;
    });
    expect(rig.status).toMatchObject({ status: 'transferring', executed: 0 });
    rig.rest();
    rig.expectWell(25);
  });

  it('that is as old as the journal, an old copy of both, is noticed when others show what was signed since', () => {
    const rig = new Rig();
    rig.write(9);
    rig.rest();
    const [old, records] = [rig.saved, [...rig.cluster.replica(victim).durable]];
    rig.write(16);
    rig.rest();
    rig.restart(() => {
      Object.assign(rig.cluster.replica(victim), { saved: old, durable: records });
    });
    expect(rig.status).toMatchObject({ status: 'normal', damage: [] });
    rig.rest(1000);
    expect(rig.cluster.count(diskForgottenCode)).toBe(1);
    // It has itself ordered what its recovery takes.
    rig.expectWell(37);
  });
});

describe('damage before any checkpoint is stable', () => {
  function unstable(): Rig {
    const rig = new Rig();
    const { filter } = rig.cluster;
    rig.cluster.filter = (from, to, message) =>
      message.name !== 'checkpoint' && filter(from, to, message);
    rig.write(6);
    rig.rest();
    expect(rig.saved.sequence).toBe(4);
    return rig;
  }

  it('needs nobody: the journal has everything', () => {
    const rig = unstable();
    rig.restart(() => rig.damage((pages) => pages.clear()));
    expect(rig.status.status).toBe('normal');
    expect(rig.status.executed).toBeGreaterThan(4);
    expect(rig.pagesSent).toBe(0);
    rig.rest();
    expect(rig.status.damage).toEqual([]);
    rig.expectWell(6);
  });

  it('never makes the member vote against what it may have voted for', () => {
    const rig = unstable();
    const votes = new Set<string>();
    const { filter } = rig.cluster;
    rig.cluster.filter = (from, to, message) => {
      if (message.name === 'checkpoint' && from === victim) votes.add(toHex(message.value.root));
      return filter(from, to, message);
    };
    const { replicas } = rig.cluster;
    // As if its service had not been deterministic.
    rig.restart(() => {
      const replica = rig.cluster.replica(victim);
      replica.saved = { ...rig.saved, root: new Uint8Array(32).fill(1) };
    });
    rig.rest();
    expect(replicas.map(({ engine }) => engine.status().executed)).toEqual([6, 6, 6, 6]);
    expect(rig.cluster.count('checkpoint-contradicts-own')).toBeGreaterThan(0);
    expect([...votes]).toEqual([]);
  });
});

describe('the state that an instance began with', () => {
  it('is fetched from the others when it is damaged before anything else is saved', () => {
    const before = new Rig();
    before.write(3);
    before.cluster.client(1).write(stopOperation);
    before.rest(1000);
    const { root, pages } = before.saved;
    const rig = new Rig({ genesis: genesisOf(before.cluster.replica(0).engine) });
    rig.cluster.replica(victim).saved = { sequence: 0, root, notes: new Uint8Array(0), pages };
    rig.restart(() => rig.damage((stored) => void stored.delete('service/0')));
    expect(rig.status).toMatchObject({ status: 'transferring', executed: 0 });
    expect(rig.status.root).toBe(toHex(root));
    rig.rest();
    expect(rig.status.status).toBe('normal');
    expect(rig.pagesSent).toBe(1);
    // The claims of numbers that were used before are answered as they were then.
    rig.write(4);
    rig.rest();
    expect(rig.cluster.outcomes.map(({ place }) => place)).toEqual([0, 1, 2, 3]);
    expect(rig.status.executed).toBe(0);
    rig.write(2);
    rig.rest();
    expect(rig.status.executed).toBe(2);
  });
});

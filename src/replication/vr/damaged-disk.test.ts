// A disk that gives something else than the pages that were saved, while the log is whole: the replica repairs its state
// from the others.

import { describe, expect, it } from 'vitest';
import { damages, type StoredPages } from '../test-damage.ts';
import type { Core } from './core.ts';
import { type Packet, TestCluster } from './test-cluster.ts';
import type { ClusterOptions } from './test-options.ts';

/** The member whose disk is damaged. */
const victim = 2;

class Rig {
  readonly cluster: TestCluster;
  /** Pages that were sent to the victim. */
  pagesSent = 0;

  constructor({ parameters, ...others }: Partial<ClusterOptions> = {}) {
    this.cluster = new TestCluster({
      seed: 3,
      delayMsMax: 2,
      syncMsMax: 1,
      clients: 2,
      parameters: {
        batchRequestsMax: 1,
        checkpointInterval: 4,
        intervalsKept: 1,
        requestTimeoutMs: 400,
        ...parameters,
      },
      ...others,
    });
    this.cluster.filter = (packet) => this.count(packet);
    this.cluster.start();
  }

  count({ to, message }: Packet): true {
    if (to === victim && message.name === 'statePart') {
      this.pagesSent += message.value.pages.length;
    }
    return true;
  }

  get core(): Core {
    return this.cluster.node(victim).engine.core;
  }

  get status() {
    return this.cluster.node(victim).engine.status();
  }

  get saved() {
    const { checkpoint } = this.cluster.node(victim);
    if (checkpoint === undefined) throw new TypeError('nothing was saved');
    return checkpoint;
  }

  write(operations: number, client = 0): void {
    this.cluster.clients[client]?.work(operations);
    expect(this.cluster.run(5000, () => this.cluster.clients[client]?.isIdle === true)).toBe(true);
  }

  rest(forMs = 300): void {
    this.cluster.run(forMs);
  }

  restart(harm: () => void = () => {}): void {
    this.cluster.crash(victim, true);
    harm();
    this.cluster.startNode(victim);
  }

  damage(play: (pages: StoredPages) => void): void {
    const pages = new Map(this.saved.pages);
    play(pages);
    this.cluster.node(victim).checkpoint = { ...this.saved, pages };
  }

  lose(): void {
    this.restart(() => this.damage((pages) => pages.clear()));
    expect(this.core.parts.repair.isNeeded).toBe(true);
  }

  counted(code: string): number {
    return this.cluster.counts.get(code) ?? 0;
  }

  expectWell(): void {
    expect(this.counted('vr-disk-unreadable')).toBe(0);
    expect(this.counted('transfer-wrong')).toBe(0);
    this.cluster.heal();
    expect(this.status.status).toBe('normal');
    this.cluster.checkEnd();
  }
}

describe.each(damages)('$what', ({ codes, fetched, play }) => {
  it('is noticed before anyone sees it, and repaired with what differs only', () => {
    const rig = new Rig();
    rig.write(6, 1);
    rig.rest();
    const older = new Map(rig.saved.pages);
    rig.write(18);
    rig.rest();
    const count = rig.saved.pages.size;
    rig.restart(() => rig.damage((pages) => play(pages, older)));
    expect(rig.status.damage).toEqual(codes);
    for (const code of codes) expect(rig.counted(code)).toBe(1);
    const isLost = codes.includes('disk-pages-differ');
    expect(rig.status.status).toBe(isLost ? 'transferring' : 'normal');
    rig.rest();
    expect(rig.status.status).toBe('normal');
    expect(rig.counted('vr-state-repaired')).toBe(isLost ? 1 : 0);
    expect(rig.pagesSent).toBe(fetched ?? count);
    expect(rig.cluster.node(victim).service.count).toBe(24);
    rig.write(8);
    rig.rest();
    expect(rig.status.damage).toEqual([]);
    rig.restart();
    expect(rig.status).toMatchObject({ damage: [], status: 'normal' });
    rig.expectWell();
  });
});

describe('a replica whose pages are gone', () => {
  it('counts as out until it has its state, and then for what it has received meanwhile', () => {
    const rig = new Rig();
    rig.write(20);
    rig.rest();
    const { filter } = rig.cluster;
    rig.cluster.filter = (packet) =>
      !(packet.to === victim && packet.message.name === 'statePart') && filter(packet);
    rig.lose();
    rig.rest();
    rig.cluster.isolate(1);
    const [client] = rig.cluster.clients;
    client?.work(3);
    expect(rig.cluster.run(2000, () => client?.isIdle === true)).toBe(false);
    expect(rig.status.status).toBe('transferring');
    rig.cluster.filter = filter;
    expect(rig.cluster.run(5000, () => client?.isIdle === true)).toBe(true);
    expect(rig.status.status).toBe('normal');
    rig.write(2);
    rig.expectWell();
  });

  it.each([
    { what: 'its own state again', missed: 0, doing: 'repair' },
    { what: 'a later one', missed: 32, doing: 'fetch' },
  ] as const)(
    'says which share is here while it gets $what, and nothing before and after',
    ({ missed, doing }) => {
      const rig = new Rig();
      rig.write(40);
      rig.rest();
      expect(rig.status.transferred).toBeUndefined();
      if (missed === 0) rig.lose();
      else {
        rig.cluster.crash(victim);
        rig.write(missed);
        rig.cluster.startNode(victim);
      }
      const shares: number[] = [];
      rig.cluster.run(500, () => {
        const { [doing]: part } = rig.core.parts;
        expect(part.progress).toBe(rig.status.transferred);
        shares.push(...[rig.status.transferred ?? []].flat());
        return false;
      });
      expect(shares[0]).toBe(0);
      expect(shares.some((each) => each > 0 && each < 1)).toBe(true);
      expect(shares).toEqual([...shares].sort((a, b) => a - b));
      expect(Math.max(...shares)).toBeLessThanOrEqual(1);
      expect(rig.status.transferred).toBeUndefined();
      rig.expectWell();
    },
  );

  it('gets a later checkpoint if the others have gone past its own', () => {
    const rig = new Rig();
    rig.write(20);
    rig.rest();
    rig.cluster.crash(victim);
    rig.write(12);
    rig.rest();
    rig.damage((pages) => pages.delete('service/0'));
    rig.cluster.startNode(victim);
    expect(rig.core.parts.repair.isNeeded).toBe(true);
    rig.rest();
    expect(rig.cluster.node(victim).service.count).toBe(32);
    rig.write(2);
    rig.expectWell();
  });

  it('gets the log from its beginning where the others still have that', () => {
    const rig = new Rig({ parameters: { intervalsKept: 3 } });
    rig.write(9);
    rig.rest();
    expect([0, 1].map((index) => rig.cluster.node(index).engine.core.log.first)).toEqual([1, 1]);
    rig.cluster.filter = ({ message }) => message.name !== 'statePart';
    rig.lose();
    rig.rest(1000);
    expect(rig.counted('vr-state-repaired')).toBe(1);
    expect(rig.status.status).toBe('normal');
    expect(rig.cluster.node(victim).service.count).toBe(9);
    rig.write(4);
    rig.rest();
    rig.restart();
    expect(rig.status).toMatchObject({ damage: [], status: 'normal' });
    rig.expectWell();
  });

  it('votes for no view before it has its state: its log may begin where no other one ends', () => {
    const rig = new Rig();
    rig.write(20);
    rig.rest();
    let votes = 0;
    const { filter } = rig.cluster;
    rig.cluster.filter = (packet) => {
      const { from, message } = packet;
      const isOurs = from.kind === 'replica' && from.index === victim;
      if (isOurs && message.name === 'vrDoViewChange') votes += 1;
      return filter(packet) && !(packet.to === victim && message.name === 'statePart');
    };
    rig.lose();
    rig.cluster.crash(0);
    rig.cluster.clients[0]?.work(1);
    expect(rig.cluster.run(5000, () => rig.core.status === 'view-change')).toBe(true);
    expect(rig.cluster.run(5000, () => rig.cluster.clients[0]?.isIdle === true)).toBe(false);
    expect(votes).toBe(0);
    expect(rig.counted('vr-view-started')).toBe(0);
    rig.cluster.filter = filter;
    expect(rig.cluster.run(20_000, () => rig.cluster.clients[0]?.isIdle === true)).toBe(true);
    rig.expectWell();
  });

  it('tells no client how far it had come', () => {
    const rig = new Rig();
    rig.write(20);
    rig.rest();
    rig.cluster.filter = ({ to, message }) => !(to === victim && message.name === 'statePart');
    rig.lose();
    const key = new Uint8Array(32).fill(77);
    const answers: string[] = [];
    const { filter } = rig.cluster;
    rig.cluster.filter = (packet) => {
      if (packet.message.name === 'lastNumberIs') answers.push(packet.message.name);
      return filter(packet);
    };
    const value = { instance: rig.cluster.instance, nonce: new Uint8Array(16) };
    const message = { name: 'lastNumber' as const, value };
    rig.cluster.deliver({ from: { kind: 'client', key }, to: victim, message });
    rig.rest(50);
    expect(answers).toEqual([]);
    rig.cluster.filter = (packet) => {
      if (packet.message.name === 'lastNumberIs') answers.push(packet.message.name);
      return true;
    };
    expect(rig.cluster.run(3000, () => rig.status.status === 'normal')).toBe(true);
    rig.cluster.deliver({ from: { kind: 'client', key }, to: victim, message });
    rig.rest(50);
    expect(answers).toEqual(['lastNumberIs']);
    rig.expectWell();
  });

  it('restarts in the midst of it', () => {
    const rig = new Rig();
    rig.write(22);
    rig.rest();
    rig.lose();
    for (let i = 0; i < 6; i++) {
      rig.cluster.run(i);
      rig.restart();
    }
    rig.write(4);
    rig.expectWell();
  });

  it('needs nobody if its journal goes back to the beginning', () => {
    const rig = new Rig();
    rig.write(5);
    rig.rest();
    const { saved } = rig;
    const whole = new Rig({ parameters: { checkpointInterval: 100 } });
    whole.write(5);
    whole.rest();
    whole.restart(() => {
      whole.cluster.node(victim).checkpoint = { ...saved, pages: new Map() };
    });
    expect(whole.status.damage).toEqual(['disk-pages-differ']);
    expect(whole.core.parts.repair.isNeeded).toBe(false);
    whole.expectWell();
    expect(whole.pagesSent).toBe(0);
    expect(whole.cluster.node(victim).service.count).toBe(5);
  });
});

describe('a table', () => {
  it('that is gone, or older than the journal, is brought up to date', () => {
    for (const keep of [0, 8]) {
      const rig = new Rig();
      rig.write(8);
      rig.rest();
      const old = keep === 0 ? undefined : rig.saved;
      rig.write(16);
      rig.rest();
      rig.restart(() => {
        rig.cluster.node(victim).checkpoint = old;
      });
      expect(rig.status).toMatchObject({ status: 'transferring', damage: [] });
      rig.rest(500);
      expect(rig.cluster.node(victim).service.count).toBe(24);
      rig.expectWell();
    }
  });

  it('is not asked for in mode view: there is none', () => {
    const rig = new Rig({ parameters: { mode: 'view' } });
    rig.write(20);
    expect(rig.cluster.node(victim).checkpoint).toBeUndefined();
    rig.restart();
    expect(rig.status.status).toBe('recovering');
    rig.rest(1000);
    rig.expectWell();
  });

  it.each([
    ['full', ['disk-table-lost']],
    ['view', []],
  ] as const)('that is lost is told of in mode %s: %j', (mode, damage) => {
    const rig = new Rig({ parameters: { mode } });
    rig.write(2);
    rig.cluster.tableDamage = ['disk-table-lost'];
    rig.restart();
    expect(rig.status.damage).toEqual(damage);
    expect(rig.counted('disk-table-lost')).toBe(damage.length);
  });

  it('matters to no witness that has none', () => {
    const rig = new Rig({ parameters: { witnesses: true } });
    rig.write(20);
    rig.rest();
    const saved = {
      sequence: 4,
      root: new Uint8Array(32),
      notes: Uint8Array.of(0, 0, ...new Uint8Array(8)),
    };
    const page = { region: 'service' as const, page: 1, bytes: new Uint8Array(99_999) };
    rig.restart(() => {
      rig.cluster.node(victim).checkpoint = { ...saved, pages: new Map([['service/1', page]]) };
    });
    expect(rig.status).toMatchObject({ status: 'normal', damage: [] });
    rig.expectWell();
  });
});

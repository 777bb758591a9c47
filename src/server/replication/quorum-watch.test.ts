import { describe, expect, it } from 'vitest';
import { HandTimers } from '../../../testing/node/tls-nodes.ts';
import type { Log } from '../../env/log.ts';
import { QuorumWatch, type Reach, reachOf } from './quorum-watch.ts';

function stage(first: Reach | undefined) {
  const told: string[] = [];
  const timers = new HandTimers();
  const log: Log = {
    debug() {},
    info: (event, fields) => told.push(`${event} ${fields?.lostMs}`),
    warn: (event, fields) =>
      told.push(`${event} ${fields?.reached} of ${fields?.quorum} ${fields?.lostMs}`),
    error() {},
  };
  let reach = first;
  const watch = new QuorumWatch({ timers, log, reach: () => reach });
  return {
    told,
    watch,
    timers,
    pass(checks: number, now: Reach | undefined) {
      reach = now;
      for (let i = 0; i < checks; i++) timers.fireAll();
    },
  };
}

const few = { reached: 2, quorum: 3 };
const enough = { reached: 3, quorum: 3 };

describe('a watch on the quorum', () => {
  it('tells that it is lost after 15 s, less and less often, and once that it is back', () => {
    const { told, pass } = stage(few);
    pass(2, few);
    expect(told).toEqual([]);
    pass(1, few);
    expect(told).toEqual(['quorum-lost 2 of 3 15000']);
    pass(6, few);
    expect(told).toEqual(['quorum-lost 2 of 3 15000', 'quorum-lost 2 of 3 45000']);
    pass(17, few);
    expect(told).toHaveLength(2);
    pass(1, few);
    expect(told).toHaveLength(3);
    pass(2, enough);
    expect(told.slice(3)).toEqual(['quorum-reached 135000']);
    pass(3, few);
    expect(told.at(-1)).toBe('quorum-lost 2 of 3 15000');
  });

  it('says nothing of members that are away for a moment, or while nobody is needed', () => {
    const { told, pass } = stage(few);
    pass(2, few);
    pass(1, enough);
    pass(2, few);
    pass(9, undefined);
    expect(told).toEqual([]);
  });

  it('ends with the replica', () => {
    const { watch, timers } = stage(few);
    watch.close();
    expect(timers.waiting.size).toBe(0);
  });
});

const normal = { status: 'normal', primary: 0 } as const;

it.each([
  ['pbft', normal, [true, false, false, false], { reached: 2, quorum: 3 }],
  ['pbft', normal, [true, false, true, false], { reached: 3, quorum: 3 }],
  ['pbft', { status: 'final', primary: 0 }, [false, false, false, true], undefined],
  ['pbft', { status: 'failed', primary: 0 }, [false, false, false, false], undefined],
  ['vr', normal, [true, false, false], undefined],
  ['vr', normal, [false, false, true], { reached: 2, quorum: 2 }],
  ['vr', normal, [false, false, false], { reached: 1, quorum: 2 }],
  ['vr', { status: 'normal', primary: 1 }, [false, false, false], { reached: 1, quorum: 2 }],
  ['vr', { status: 'view-change', primary: 0 }, [true, false, false], { reached: 2, quorum: 2 }],
] as const)('member 1 of %s, %o, connected to %o', (kind, status, connected, reach) => {
  expect(reachOf(kind, status, 1, [...connected], 1)).toEqual(reach);
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Bytes } from '../../base/bytes.ts';
import { encodeEntry } from './log.ts';
import { adoptRecord, appendRecord, replay, stageRecord, stateRecord } from './records.ts';

function entry(view: number): Bytes {
  return encodeEntry({ view, requests: [], agreed: new Uint8Array(0) }).bytes;
}

const active = [0, 1, 2];

function state(view: number, base = 0): Bytes {
  return stateRecord({ view, lastNormal: 0, hasLog: 1, base, low: 0, active });
}

function adopt(view: number, keep: number, sequence: number, isReset = 0): Bytes {
  return adoptRecord({ view, keep, isReset, sequence, low: 0, active });
}

describe('records', () => {
  it('give back the log that was written', () => {
    const records = [state(0), appendRecord(1, entry(0)), appendRecord(2, entry(0)), state(3)];
    const { log, state: now } = replay(records, 0) ?? expect.fail('not readable');
    expect([log.first, log.last, now.view, now.lastNormal]).toEqual([1, 2, 3, 0]);
  });

  it('replace a log as a whole or not at all', () => {
    const before = [state(0), appendRecord(1, entry(0)), appendRecord(2, entry(0))];
    const staged = [stageRecord(2, entry(4)), stageRecord(3, entry(4))];
    const half = replay([...before, ...staged], 0) ?? expect.fail('not readable');
    expect([half.log.last, half.log.at(2).entry.view, half.state.lastNormal]).toEqual([2, 0, 0]);
    const whole = replay([...before, ...staged, adopt(4, 1, 3)], 0) ?? expect.fail('not readable');
    expect([whole.log.last, whole.log.at(2).entry.view, whole.state.lastNormal]).toEqual([3, 4, 4]);
  });

  it('forget what was staged before a crash', () => {
    const records = [state(0), appendRecord(1, entry(0)), stageRecord(2, entry(4)), state(5)];
    const later = replay([...records, stageRecord(2, entry(6)), adopt(6, 1, 2)], 0);
    expect(later?.log.at(2).entry.view).toBe(6);
    const behind = replay(
      [...records, appendRecord(2, entry(0)), stageRecord(3, entry(6)), adopt(6, 2, 3)],
      0,
    );
    expect([behind?.log.last, behind?.log.at(2).entry.view]).toEqual([3, 0]);
  });

  it('go on behind a checkpoint that is ahead of them', () => {
    const { log } = replay([state(0), appendRecord(1, entry(0))], 8) ?? expect.fail('not readable');
    expect([log.first, log.last]).toEqual([9, 8]);
    const later = replay([state(0), appendRecord(1, entry(0)), state(2, 8), adopt(2, 8, 8)], 8);
    expect(later?.log.last).toBe(8);
  });

  it('forget what a restart gave up behind a checkpoint, though the log is longer', () => {
    const records = [state(0), ...[1, 2, 3].map((n) => appendRecord(n, entry(0))), state(2, 2)];
    const { log } =
      replay([...records, stageRecord(4, entry(5)), adopt(5, 3, 4)], 2) ??
      expect.fail('not readable');
    expect([log.first, log.last]).toEqual([3, 4]);
  });

  it('begin a log anew behind what its holder has no use for', () => {
    const old = [state(0), ...[1, 2, 3].map((n) => appendRecord(n, entry(0)))];
    for (const keep of [2, 5]) {
      const records = [...old, stageRecord(keep + 1, entry(4)), adopt(4, keep, keep + 1, 1)];
      const { log } = replay(records, 0) ?? expect.fail('not readable');
      expect([log.first, log.last, log.at(keep + 1).entry.view]).toEqual([keep + 1, keep + 1, 4]);
    }
    expect(replay([...old, adopt(4, 5, 5)], 0)).toBeUndefined();
  });

  it('are refused when something between them is missing', () => {
    expect(replay([state(0), appendRecord(2, entry(0))], 0)).toBeUndefined();
    expect(replay([appendRecord(1, entry(0))], 0)).toBeUndefined();
    expect(replay([state(2), state(1)], 0)).toBeUndefined();
    expect(replay([state(0), stageRecord(1, entry(1)), adopt(1, 0, 2)], 0)).toBeUndefined();
    expect(replay([state(0), adopt(1, 3, 3)], 0)).toBeUndefined();
  });

  it('may be any bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 })), fc.nat(4), (records, checkpoint) => {
        replay(records, checkpoint);
      }),
    );
  });
});

import { expect, it } from 'vitest';
import type { PeerId } from '../base/brand.ts';
import { silentLog } from '../env/log.ts';
import { RefusalLog, toldAddressesMax } from './refusal-log.ts';

it('tells of a key that is not admitted once a minute for each address, and of so many at most', () => {
  let nowMs = 0;
  const told: string[] = [];
  const tell = (event: string, fields: object = {}) =>
    told.push([event, ...Object.values(fields)].join(' '));
  const log = { ...silentLog, info: tell, warn: tell };
  const refusals = new RefusalLog(log, { nowMs: () => nowMs });
  const refuse = (peer: string, address: string) => refusals.notAdmitted(peer as PeerId, address);
  refuse('aa', '::1');
  refuse('bb', '::1');
  nowMs = 30_000;
  refuse('cc', '::2');
  nowMs = 59_999;
  refuse('aa', '::1');
  expect(told).toEqual(['network.not-admitted aa ::1', 'network.not-admitted cc ::2']);
  nowMs = 60_000;
  refuse('bb', '::1');
  refuse('cc', '::2');
  expect(told.slice(2)).toEqual(['network.not-admitted bb ::1']);
  for (let i = 0; i < 1000; i++) refuse('dd', `10.0.0.${i}`);
  expect(told).toHaveLength(3 + toldAddressesMax - 2);
  nowMs = 120_000;
  refuse('ee', 'late');
  expect(told.at(-1)).toBe('network.not-admitted ee late');
  // One kind of refusal hides no other one.
  for (let i = 0; i < 5; i++) refusals.badFrame('ee' as PeerId, 'late', 'frame-too-short');
  expect(told.at(-1)).toBe('network.bad-frame ee late frame-too-short');
  expect(told.filter((line) => line.startsWith('network.bad-frame'))).toHaveLength(1);
});

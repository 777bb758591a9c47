import { expect, it } from 'vitest';
import { HandTimers } from '../../../testing/node/tls-nodes.ts';
import { silentLog } from '../../env/log.ts';
import type { ReplicaStatus } from '../../replication/contract.ts';
import { watchEnd } from './end-watch.ts';

function stage() {
  const told: string[] = [];
  const timers = new HandTimers();
  let now: ReplicaStatus['status'] = 'normal';
  const close = watchEnd({
    timers,
    log: { ...silentLog, info: (event, fields) => told.push(`${event} ${fields?.executed}`) },
    status: () => ({ status: now, executed: 7, root: 'ab' }),
  });
  return {
    told,
    timers,
    close,
    pass(status: ReplicaStatus['status']) {
      now = status;
      timers.fireAll();
    },
  };
}

it('the end of an instance is told, once', () => {
  const { told, timers, pass } = stage();
  for (const status of ['normal', 'transferring'] as const) pass(status);
  expect(told).toEqual([]);
  pass('final');
  expect(told).toEqual(['replica-final 7']);
  expect(timers.waiting.size).toBe(0);
});

it('nothing is told of a replica that has stopped', () => {
  const { timers, close } = stage();
  close();
  expect(timers.waiting.size).toBe(0);
});

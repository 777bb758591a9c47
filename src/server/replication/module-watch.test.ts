import { expect, test } from 'vitest';
import { HandTimers } from '../../../testing/node/tls-nodes.ts';
import { silentLog } from '../../env/log.ts';
import { noMetrics } from '../../env/metrics.ts';
import { createIdentity } from '../../node/identity.ts';
import { ModuleWatch } from './module-watch.ts';

const identity = await createIdentity(new Uint8Array(32).fill(5));

/** A module, a clock, and what the watch does about them. */
class Play {
  readonly timers = new HandTimers();
  readonly lifetimeMs: number;
  nowMs = 1_700_000_000_000;
  expiresMs: number;
  why: string | undefined;
  canRenew = true;
  presented = 0;
  readonly said: string[] = [];
  readonly watch: ModuleWatch;

  constructor(lifetimeMs: number) {
    this.lifetimeMs = lifetimeMs;
    this.expiresMs = this.nowMs + lifetimeMs;
    this.watch = new ModuleWatch({
      module: {
        expiresMs: () => this.expiresMs,
        silence: async () => this.why,
        renewLater: async () => {
          if (!this.canRenew) throw new TypeError('not now');
          this.expiresMs = this.nowMs + this.lifetimeMs;
          return identity;
        },
      },
      timers: this.timers,
      log: {
        ...silentLog,
        info: (event) => this.said.push(event),
        warn: (event) => this.said.push(event),
      },
      metrics: noMetrics,
      timeOfDayMs: () => this.nowMs,
      present: () => {
        this.presented += 1;
      },
    });
  }

  /** Lets what waits for a time happen, and all that it brings about. */
  async look(): Promise<void> {
    this.timers.fireAll();
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}

test('keys are replaced when half their time is over, and then when half of that of the next ones is', async () => {
  const play = new Play(100_000);
  play.nowMs += 49_000;
  await play.look();
  expect(play.presented).toBe(0);
  play.nowMs += 2_000;
  await play.look();
  await play.look();
  expect(play.presented).toBe(1);
  play.nowMs += 49_000;
  await play.look();
  expect(play.presented).toBe(1);
  play.nowMs += 2_000;
  await play.look();
  expect(play.presented).toBe(2);
});

test('keys are replaced soon after the clock is put right', async () => {
  const lifetimeMs = 30 * 24 * 3_600_000;
  const play = new Play(lifetimeMs);
  // The machine had started with a clock that was 60 days slow.
  play.nowMs += 2 * lifetimeMs;
  await play.look();
  expect(play.expiresMs).toBe(play.nowMs + lifetimeMs);
});

test('a module that is gone is told of once, and asked again', async () => {
  const play = new Play(100_000);
  play.why = 'nothing listens there';
  play.nowMs += 60_000;
  await play.look();
  await play.look();
  expect(play.said).toEqual(['signing-module-silent']);
  expect(play.presented).toBe(0);
  play.why = undefined;
  play.canRenew = false;
  await play.look();
  expect(play.said.slice(1)).toEqual(['signing-module-answers', 'channel-keys-not-renewed']);
  play.canRenew = true;
  await play.look();
  expect(play.presented).toBe(1);
});

test('nothing is asked or shown any more once it is over', async () => {
  const play = new Play(100_000);
  play.nowMs += 60_000;
  play.timers.fireAll();
  play.watch.close();
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(play.presented).toBe(0);
  expect(play.timers.waiting.size).toBe(0);
});

import { beforeEach, describe, expect, it } from 'vitest';
import { Outbox } from '../outbox.ts';
import { bundle } from '../requests.ts';
import { defaultPbftParameters } from './parameters.ts';
import { batchOrigin, RequestQueue } from './queue.ts';
import { pbftRules } from './rules.ts';
import { testInstance } from './test-cluster.ts';
import { quickSigner } from './test-service.ts';
import { requestTimer, type Timed, ViewTimer, viewChangeTimer } from './view-timer.ts';

const timeoutMs = 100;
const timeoutMsMax = 1600;
const signer = quickSigner('a');

/** All that the timer sees of a replica, and what it has it do. */
class Replica implements Timed {
  readonly parameters = { ...defaultPbftParameters, timeoutMs, timeoutMsMax };
  readonly queue = new RequestQueue(4);
  readonly out = new Outbox();
  readonly executor = { ended: false };
  readonly rules = pbftRules;
  nowMs = 1000;
  isActive = true;
  isTransferring = false;
  reminders = 0;
  executed = 0;
  isInTouch = true;
  isBehind = false;
  /** How often patience was lost. */
  losses = 0;
  readonly parts: Timed['parts'];

  constructor() {
    const replica = this;
    this.parts = {
      transfers: {
        get isRunning() {
          return replica.isTransferring;
        },
      },
      clientRequests: {
        remind: () => {
          this.reminders += 1;
        },
      },
      execution: {
        get executed() {
          return replica.executed;
        },
      },
      statusExchange: {
        get isInTouch() {
          return replica.isInTouch;
        },
        get isBehind() {
          return replica.isBehind;
        },
      },
      viewChanges: {
        doubt: () => {
          this.losses += 1;
        },
        get isDoubting() {
          return replica.losses > 0;
        },
      },
    };
  }

  /** The primary has a request in a batch now: from here on it is timed. */
  hear(number: number): void {
    const request = { client: signer.publicKey, number, kind: 0, operation: new Uint8Array(1) };
    const [signed] = bundle(signer, testInstance, [request]);
    const arrival = { origin: batchOrigin, fullReplier: undefined, isProposed: true };
    const digest = new Uint8Array(32).fill(number);
    expect(signed && this.queue.add(signed, digest, { ...arrival, nowMs: this.nowMs })).toBe(true);
  }

  /** When a timer is set for, after what has happened since the last question. */
  dueAtMs(name: string): number | undefined {
    return this.out
      .take()
      .timers.filter((each) => each.name === name)
      .at(-1)?.atMs;
  }
}

let replica: Replica;
let timer: ViewTimer;

beforeEach(() => {
  replica = new Replica();
  timer = new ViewTimer(replica);
});

/** So many views are left; the last one is entered, and has executed something new. */
function leaveViews(count: number): void {
  for (let i = 0; i < count; i++) timer.onViewLeft();
  timer.onViewEntered();
  timer.onProgress();
}

describe('patience', () => {
  it('doubles with every view left, up to its bound', () => {
    const seen = [1, 2, 3, 4, 5, 6].map(() => {
      timer.onViewLeft();
      return timer.patienceMs;
    });
    expect(seen).toEqual([200, 400, 800, 1600, 1600, 1600]);
  });

  it('does not shrink with what makes a new view work, and halves with each new batch after that', () => {
    leaveViews(3);
    expect(timer.patienceMs).toBe(800);
    const seen = [1, 2, 3, 4].map(() => {
      timer.onProgress();
      return timer.patienceMs;
    });
    expect(seen).toEqual([400, 200, 100, 100]);
  });

  it('stays while what has waited longest came more than an eighth of it ago', () => {
    leaveViews(3);
    replica.hear(1);
    replica.nowMs += 100;
    for (let i = 0; i < 10; i++) timer.onProgress();
    expect(timer.patienceMs).toBe(800);
  });

  it('shrinks as far as what waits is served soon', () => {
    leaveViews(3);
    replica.hear(1);
    replica.nowMs += 49;
    for (let i = 0; i < 10; i++) timer.onProgress();
    // 49 ms are less than an eighth of 800 and of 400, and no more of 200's 25.
    expect(timer.patienceMs).toBe(200);
    replica.queue.remove(signer.publicKey, 1);
    timer.onProgress();
    expect(timer.patienceMs).toBe(100);
  });

  it('does not shrink with what is executed between views', () => {
    leaveViews(2);
    replica.isActive = false;
    timer.onProgress();
    expect(timer.patienceMs).toBe(400);
  });
});

describe('a request that waits', () => {
  it('has the primary reminded at half the patience, and then costs its view the patience', () => {
    replica.hear(1);
    timer.refresh();
    expect(replica.dueAtMs(requestTimer)).toBe(1050);
    replica.nowMs = 1050;
    timer.onRequestTimer();
    expect([replica.reminders, replica.losses]).toEqual([1, 0]);
    expect(replica.dueAtMs(requestTimer)).toBe(1100);
    replica.nowMs = 1100;
    timer.onRequestTimer();
    expect([replica.reminders, replica.losses]).toEqual([1, 1]);
    // Once is enough in a view.
    replica.out.take();
    timer.refresh();
    expect(replica.dueAtMs(requestTimer)).toBeUndefined();
  });

  it('is not timed before enough others have been heard', () => {
    replica.isInTouch = false;
    replica.hear(1);
    timer.refresh();
    expect(replica.dueAtMs(requestTimer)).toBeUndefined();
    replica.isInTouch = true;
    replica.nowMs = 5000;
    timer.refresh();
    expect(replica.dueAtMs(requestTimer)).toBe(5050);
  });

  it('waits once more for a member that is behind and has come nearer', () => {
    replica.hear(1);
    replica.isBehind = true;
    timer.refresh();
    for (const [nowMs, executed, losses] of [
      [1050, 0, 0],
      [1100, 1, 0],
      [1150, 1, 0],
      [1200, 1, 1],
    ] as const) {
      Object.assign(replica, { nowMs, executed });
      timer.onRequestTimer();
      expect([nowMs, replica.losses]).toEqual([nowMs, losses]);
    }
    expect(timer.isMissing).toBe(true);
    replica.queue.remove(signer.publicKey, 1);
    expect(timer.isMissing).toBe(false);
  });

  it('is not timed while the state is fetched, and anew afterwards', () => {
    replica.hear(1);
    timer.refresh();
    replica.isTransferring = true;
    replica.nowMs = 5000;
    timer.onRequestTimer();
    expect(replica.losses).toBe(0);
    replica.isTransferring = false;
    replica.out.take();
    timer.refresh();
    expect(replica.dueAtMs(requestTimer)).toBe(5050);
  });
});

it('a NEW-VIEW is waited for with the same patience, longer without the own state', () => {
  timer.onViewLeft();
  replica.isActive = false;
  timer.awaitNewView();
  expect(replica.dueAtMs(viewChangeTimer)).toBe(1200);
  replica.isTransferring = true;
  replica.nowMs = 1200;
  timer.onViewChangeTimer();
  expect(replica.losses).toBe(0);
  expect(replica.dueAtMs(viewChangeTimer)).toBe(1400);
  replica.isTransferring = false;
  replica.nowMs = 1400;
  timer.onViewChangeTimer();
  expect(replica.losses).toBe(1);
});

import { EventEmitter } from 'node:events';
import type { TLSSocket } from 'node:tls';
import { expect, it } from 'vitest';
import type { PeerId } from '../base/brand.ts';
import { silentLog } from '../env/log.ts';
import { encodeFrame } from '../wire/frame.ts';
import { Connection } from './connection.ts';
import { RefusalLog } from './refusal-log.ts';
import { Turns, type Worker } from './turns.ts';

class Wire extends EventEmitter {
  remoteAddress = '::1';
  writableLength = 0;
  setNoDelay(): void {}
  setKeepAlive(): void {}
  pause(): void {}
  resume(): void {}
  destroy(): void {}
}

/** A peer of which another connection has frames waiting all the time: what else comes of it waits too. */
it('a frame must be complete in time, though its peer keeps itself waiting by another connection', async () => {
  let nowMs = 0;
  const turns = new Turns();
  const flood: Worker = {
    peer: 'peer' as PeerId,
    isKnown: false,
    inVainMsMax: 0,
    receiptMs: 0,
    takeReceiptMs: () => 0,
    work: () => {
      const untilMs = performance.now() + 1;
      while (performance.now() < untilMs);
      return true;
    },
    caughtUp: () => {},
  };
  turns.run(flood);
  const wire = new Wire();
  const clock = { nowMs: () => nowMs };
  const closed: string[] = [];
  const options = {
    socket: wire as unknown as TLSSocket,
    peer: 'peer' as PeerId,
    sizeBytesMax: () => 4096,
    clock,
    log: silentLog,
    refusals: new RefusalLog(silentLog, clock),
    metrics: { count() {}, gauge() {}, observe() {} },
    turns,
    isKnown: () => false,
    pausesReading: true,
    frameTimeoutMs: 1000,
    onFrame: () => {},
    onClosed: (reason: string) => closed.push(reason),
  };
  new Connection(options);
  const frame = encodeFrame(7, new Uint8Array(4000));
  for (let i = 0; i < 20; i++) {
    wire.emit('data', frame.subarray(i, i + 1));
    // Until its turn has come.
    for (let k = 0; k < 3; k++) await new Promise((resolve) => setImmediate(resolve));
    nowMs += 900;
  }
  Object.assign(flood, { work: () => false });
  expect(closed).toEqual(['slow-frame']);
});

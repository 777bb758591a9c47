import { EventEmitter } from 'node:events';
import type { TLSSocket } from 'node:tls';
import { expect, it } from 'vitest';
import type { PeerId } from '../base/brand.ts';
import { utf8 } from '../base/bytes.ts';
import { silentLog } from '../env/log.ts';
import { encodeFrame } from '../wire/frame.ts';
import { limits } from '../wire/limits.ts';
import { Connection } from './connection.ts';
import { RefusalLog } from './refusal-log.ts';
import { Turns, type Worker } from './turns.ts';

/** Gives nobody a turn: the test does. */
class NoTurns extends Turns {
  override run(_worker: Worker): boolean {
    return false;
  }
}

class Wire extends EventEmitter {
  setNoDelay(): void {}
  setKeepAlive(): void {}
  pause(): void {}
}

/** A connection whose peer has sent so many frames at once. */
function sent(frames: number, { isKnown }: { isKnown: boolean }, onFrame = () => {}): Connection {
  const wire = new Wire();
  const clock = { nowMs: () => 0 };
  const connection = new Connection({
    socket: wire as unknown as TLSSocket,
    peer: 'peer' as PeerId,
    sizeBytesMax: () => 100,
    clock,
    log: silentLog,
    refusals: new RefusalLog(silentLog, clock),
    metrics: { count() {}, gauge() {}, observe() {} },
    turns: new NoTurns(),
    isKnown: () => isKnown,
    pausesReading: true,
    frameTimeoutMs: 1000,
    onFrame: () => onFrame(),
    onClosed: () => {},
  });
  const frame = encodeFrame(7, utf8('x'));
  wire.emit('data', Buffer.concat(new Array<Uint8Array>(frames).fill(frame)));
  return connection;
}

/** How many of all waiting frames were in vain. */
function inVain(connection: Connection): number {
  let count = 0;
  for (let isMore = true; isMore; ) {
    isMore = connection.work();
    if (connection.inVainMsMax > 0) count += 1;
  }
  return count;
}

it('takes as in vain what a stranger sends beyond what any client would at once', () => {
  const most = 4 * limits.clientWindow;
  expect(inVain(sent(most, { isKnown: false }))).toBe(0);
  expect(inVain(sent(1000, { isKnown: true }))).toBe(0);
  expect(inVain(sent(1000, { isKnown: false }))).toBeGreaterThan(1000 - most - 2);
});

it('takes as in vain the very frame that the handler says it of', () => {
  let handled = 0;
  const connection: Connection = sent(10, { isKnown: true }, () => {
    handled += 1;
    if (handled === 3) connection.inVain();
  });
  connection.work();
  connection.work();
  expect(connection.inVainMsMax).toBe(0);
  connection.work();
  expect(connection.inVainMsMax).toBeCloseTo(0.1, 3);
  connection.work();
  expect(connection.inVainMsMax).toBe(0);
});

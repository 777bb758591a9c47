// Ports that nothing listens at, outside the range that the system gives to outgoing connections.

import { createServer } from 'node:net';
import { NeverHappened } from './until.ts';

const range = { first: 20_000, last: 31_999 } as const;
let next = range.first + ((process.pid * 97) % (range.last - range.first));

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      probe.close(() => resolve(true));
    });
  });
}

/** This many ports, no two calls in one process giving the same one soon. */
export async function freePorts(count: number): Promise<number[]> {
  const found: number[] = [];
  for (let tries = 0; tries < range.last - range.first; tries++) {
    if (found.length === count) return found;
    next = next >= range.last ? range.first : next + 1;
    if (await isFree(next)) found.push(next);
  }
  throw new NeverHappened(`found ${count} free ports`);
}

/** The first of a run of free ports, for a system that takes them in a row. */
export async function freePortBase(spans: readonly (readonly [offset: number, count: number])[]) {
  for (let tries = 0; tries < 200; tries++) {
    const [base = range.first] = await freePorts(1);
    const wanted = spans.flatMap(([offset, count]) =>
      Array.from({ length: count }, (_, at) => base + offset + at),
    );
    const free = await Promise.all(wanted.map(isFree));
    next = Math.max(next, base + 20);
    if (free.every((one) => one)) return base;
  }
  throw new NeverHappened('found free ports in a row');
}

// Processes die, hang and come back while clients work. What was acknowledged stays, and every read is right.

import { afterEach, describe, expect, test } from 'vitest';
import { Load } from './load.ts';
import { endAll } from './processes.ts';
import { System } from './system.ts';
import { until } from './until.ts';

afterEach(endAll);

describe('while clients work', () => {
  test('each server in turn is killed and started again; no operation fails', async () => {
    const system = await System.forTest();
    const load = await Load.start(system);
    for (const server of system.servers) {
      await server.kill();
      await load.goesOn();
      await server.start();
      await server.serving();
      await load.goesOn();
    }
    const { failures, done } = await load.judge();
    expect(failures).toEqual([]);
    expect(done).toBeGreaterThan(400);
  });

  test('a server that hangs for longer than clients wait holds nobody up', async () => {
    const system = await System.forTest();
    const load = await Load.start(system);
    const stoppedMs = performance.now();
    await system.at(1).pause();
    await load.goesOn(200);
    // Longer than the first resend, whatever the speed of this machine.
    await until('two resends have passed', () => performance.now() - stoppedMs > 3_500);
    await load.goesOn();
    system.at(1).resume();
    await load.goesOn(200);
    const { failures } = await load.judge();
    expect(failures).toEqual([]);
  });

  test('with more servers hung than the system tolerates clients wait, and then go on', async () => {
    const system = await System.forTest();
    const load = await Load.start(system);
    await system.at(0).pause();
    await system.at(2).pause();
    await until('nothing is answered any more', async () => {
      const before = load.done;
      const stillMs = performance.now() + 1_500;
      await until('a while passes', () => performance.now() > stillMs);
      return load.done === before;
    });
    system.at(0).resume();
    system.at(2).resume();
    await load.goesOn(200);
    const { failures } = await load.judge();
    expect(failures).toEqual([]);
  });

  test('all servers are killed at once, twice; nothing acknowledged is lost', async () => {
    const system = await System.forTest();
    const load = await Load.start(system);
    for (let round = 0; round < 2; round++) {
      await load.goesOn(200);
      await Promise.all(system.servers.map((server) => server.kill()));
      await system.start();
      await load.goesOn();
    }
    await load.judge();
    const { moreFailures } = await system.status();
    expect(moreFailures).toBe(1);
  });
});

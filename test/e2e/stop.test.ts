import { afterAll, expect, test } from 'vitest';
import { endAll } from './processes.ts';
import { System } from './system.ts';

afterAll(endAll);

test('servers end soon after they are asked to, with exit code 0', async () => {
  const system = await System.forTest();
  for (const server of system.servers) {
    await server.stop();
    expect(server.process.result).toEqual({ code: 0, signal: null });
  }
});

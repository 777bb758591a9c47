import { afterAll, describe, expect, test } from 'vitest';
import { endAll } from './processes.ts';
import { System } from './system.ts';

afterAll(endAll);

describe('a system of real processes', () => {
  test('keeps what one command stored for another', async () => {
    const system = await System.forTest();
    const written = await system.cli(['write', 'greeting', '-'], { input: 'hello' });
    expect(written).toMatchObject({ code: 0, stderr: '' });
    expect(await system.cli(['read', 'greeting'])).toMatchObject({ code: 0, stdout: 'hello' });
    const client = await system.connect();
    expect(await client.read('greeting')).toMatchObject({ bytes: 5, version: 1 });
  });

  test('servers end soon after they are asked to, with exit code 0', async () => {
    const system = await System.forTest();
    for (const server of system.servers) {
      await server.stop();
      expect(server.process.result).toEqual({ code: 0, signal: null });
    }
  });
});

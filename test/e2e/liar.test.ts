// One server of four lies: clients read what was written all the same, and can tell who it is.

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import type { VerifyReport } from '../../src/client/index.ts';
import { projectFolder } from './places.ts';
import { endAll, Process } from './processes.ts';
import { type Server, System } from './system.ts';
import { until } from './until.ts';
import { Witness } from './witness.ts';

afterAll(endAll);

/** Puts a liar in the server's place: its key, its address and its disk. */
async function replace(server: Server): Promise<Process> {
  await server.stop();
  const script = join(projectFolder, 'test/e2e/liar-process.ts');
  const command = [process.execPath, '--import', 'tsx', script, server.settings] as const;
  const liar = new Process([...command], { cwd: projectFolder });
  await until('the liar lies', () => {
    if (liar.result !== undefined) throw new Error(liar.stderr);
    return `${liar.stdout}`.includes('lying');
  });
  return liar;
}

test('one server that lies spoils no answer, and verify names it', async () => {
  const system = await System.forTest();
  const witness = await Witness.start(system);
  onTestFinished(() => witness.stop());
  const client = await system.connect();
  const { address } = await client.put(randomBytes(2_500_000));
  const liar = await replace(system.at(3));
  await client.write('told', randomBytes(100));
  await witness.goesOn(300);

  for (const thing of [address, 'told']) {
    const report = await until(`${thing} is answered falsely`, async () => {
      const { stdout, stderr } = await system.cli(['verify', thing, '--json']);
      const seen: VerifyReport = JSON.parse(stdout);
      const found = seen.servers.some(({ findings }) => (findings.lying ?? 0) > 0);
      if (!found) throw new Error(`${stdout} ${stderr}`);
      return seen;
    });
    const liars = report.servers.filter(({ findings }) => (findings.lying ?? 0) > 0);
    expect(liars.map(({ port }) => port)).toEqual([system.at(3).port]);
    expect(report).toMatchObject({ readable: true, intact: false });
  }
  await witness.goesOn(100);
  expect(liar.result, liar.stderr).toBeUndefined();
  await witness.judge();
  for (const server of system.servers.slice(0, 3)) expect(server.isRunning).toBe(true);
});

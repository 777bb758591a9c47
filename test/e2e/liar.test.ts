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

/** Ports of the servers that the report calls liars, and of those that did not hold everything. */
function portsIn(report: VerifyReport) {
  const all = report.servers.map(({ port, findings }) => ({ port, findings }));
  const liars = all.filter(({ findings }) => (findings.lying ?? 0) > 0);
  const lacking = all.filter(({ findings }) => (findings.holds ?? 0) < report.items);
  return { liars: liars.map(({ port }) => port), lacking: lacking.map(({ port }) => port) };
}

test('one server that lies spoils no answer, and verify names it', async () => {
  const system = await System.forTest();
  const witness = await Witness.start(system);
  onTestFinished(() => witness.stop());
  const client = await system.connect({ timeoutMs: 60_000 });
  const { address } = await client.put(randomBytes(2_500_000));
  const liar = await replace(system.at(3));
  const names = Array.from({ length: 8 }, (_, at) => `told-${at}`);
  for (const name of names) await client.write(name, randomBytes(100));
  await witness.goesOn(300);

  // It tells the truth now and then, so asking once may not be enough.
  await until('the command names the liar', async () => {
    const { stdout, stderr } = await system.cli(['verify', address, '--json']);
    const report: VerifyReport = JSON.parse(stdout);
    expect(report, stderr).toMatchObject({ readable: true, intact: false });
    const { liars, lacking } = portsIn(report);
    expect([...liars, ...lacking].filter((port) => port !== system.at(3).port)).toEqual([]);
    return liars.length > 0;
  });
  await until('a client finds the liar', async () => {
    const reports = await Promise.all(names.map((name) => client.verify(name)));
    const found = reports.map(portsIn);
    const others = found.flatMap(({ liars, lacking }) => [...liars, ...lacking]);
    expect(others.filter((port) => port !== system.at(3).port)).toEqual([]);
    return found.some(({ liars }) => liars.length > 0);
  });
  await witness.goesOn(100);
  expect(liar.result, liar.stderr).toBeUndefined();
  await witness.judge();
  for (const server of system.servers.slice(0, 3)) expect(server.isRunning).toBe(true);
});

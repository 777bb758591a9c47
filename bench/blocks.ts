// How fast large content goes in and comes out, and what its parts cost by themselves.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cpuUs, summary } from './measure.ts';
import { formatMs, type Report, table } from './report.ts';
import type { Run } from './run.ts';

const miB = 1024 * 1024;

interface Transfers {
  readonly miBPerSecond: number[];
  readonly clientMsPerMiB: number[];
  readonly serversMsPerMiB: number[];
}

const transfers = (): Transfers => ({
  miBPerSecond: [],
  clientMsPerMiB: [],
  serversMsPerMiB: [],
});

export async function blocks({ isQuick, withSystem, note }: Run): Promise<Report> {
  const sizeBytes = (isQuick ? 32 : 512) * miB;
  const rounds = isQuick ? 1 : 3;
  const put = transfers();
  const get = transfers();
  const costs = await withSystem(({ folder, serverPids, clients }) =>
    clients(1, async ([client]) => {
      const measured = async <T extends { elapsedMs: number }>(
        into: Transfers,
        transfer: () => Promise<T>,
      ): Promise<T> => {
        const before = { client: cpuUs([client.pid]), servers: cpuUs(serverPids) };
        const answer = await transfer();
        const size = sizeBytes / miB;
        into.miBPerSecond.push((size / answer.elapsedMs) * 1000);
        into.clientMsPerMiB.push((cpuUs([client.pid]) - before.client) / 1000 / size);
        into.serversMsPerMiB.push((cpuUs(serverPids) - before.servers) / 1000 / size);
        return answer;
      };
      for (let round = 1; round <= rounds; round++) {
        note(`blocks: round ${round} of ${rounds}`);
        const { address } = await measured(put, () =>
          client.do({ kind: 'put', sizeBytes, seed: round }),
        );
        await measured(get, () => client.do({ kind: 'get', address }));
      }
      note('blocks: what the parts cost');
      const own = join(folder, 'unit-costs');
      await mkdir(own);
      return await client.do({ kind: 'unitCosts', folder: own, blocks: isQuick ? 16 : 256 });
    }),
  );
  const rows = [rowOf('put', put), rowOf('get', get)];
  const parts = Object.entries(costs).map(([part, cost]) => ({ part, ...cost }));
  const transferred = table(
    ['content', 'MiB/s', 'least … most', 'client CPU ms/MiB', 'servers CPU ms/MiB'],
    rows.map((row) => [
      row.operation,
      row.miBPerSecond.toFixed(0),
      `${row.miBPerSecondMin.toFixed(0)} … ${row.miBPerSecondMax.toFixed(0)}`,
      formatMs(row.clientMsPerMiB),
      formatMs(row.serversMsPerMiB),
    ]),
  );
  const costTable = table(
    ['by itself, of 1 MiB', 'ms', 'CPU ms'],
    parts.map(({ part, wallMs, cpuMs }) => [part, formatMs(wallMs), formatMs(cpuMs)]),
  );
  return {
    title: `content of ${sizeBytes / miB} MiB in blocks of 1 MiB`,
    values: { transfers: rows, parts },
    words: `${transferred}\n\n${costTable}`,
  };
}

function rowOf(operation: string, { miBPerSecond, clientMsPerMiB, serversMsPerMiB }: Transfers) {
  return {
    operation,
    miBPerSecond: summary(miBPerSecond).median,
    miBPerSecondMin: Math.min(...miBPerSecond),
    miBPerSecondMax: Math.max(...miBPerSecond),
    clientMsPerMiB: summary(clientMsPerMiB).median,
    serversMsPerMiB: summary(serversMsPerMiB).median,
  };
}

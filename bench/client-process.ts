// One client process: takes jobs from the benchmark and runs them with the client library.

import { HoldfastError } from '../src/base/errors.ts';
import type { Client } from '../src/client/contract.ts';
import type { StorageClient } from '../src/dbqs/client.ts';
import { getContent, putContent } from './client/content.ts';
import { measureLatency } from './client/latency.ts';
import { fillObjects, runLoad } from './client/load.ts';
import { unitCosts } from './client/unit-costs.ts';
import { type Job, jobSchema } from './jobs.ts';
import { library } from './library.ts';

interface Connected {
  readonly client: Client;
  readonly storage: StorageClient;
}

let connected: Connected | undefined;

function connection(): Connected {
  if (connected === undefined) throw new HoldfastError('usage', 'the first job is to connect');
  return connected;
}

async function answer(job: Job): Promise<unknown> {
  switch (job.kind) {
    case 'connect': {
      const { connectWithStorage } = await library.connect();
      connected = await connectWithStorage({ client: job.client });
      return {};
    }
    case 'fill':
      await fillObjects(connection().client, job);
      return {};
    case 'latency':
      return await measureLatency(connection(), job);
    case 'load':
      return await runLoad(connection().client, job);
    case 'put':
      return await putContent(connection().client, job);
    case 'get':
      return await getContent(connection().client, job);
    case 'unitCosts':
      return await unitCosts(job);
    case 'end':
      await connected?.client.close();
      return {};
  }
}

async function run(job: Job): Promise<void> {
  try {
    process.send?.({ answer: await answer(job) });
  } catch (error) {
    const failure = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.send?.({ failure });
  }
  if (job.kind === 'end') process.disconnect();
}

process.on('message', (message: unknown) => void run(jobSchema.parse(message)));
// Without the benchmark there is nothing left to do.
process.once('disconnect', () => process.exit());

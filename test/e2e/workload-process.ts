// A workload in a process of its own: arguments are the client library, the client file, this process's name and the
// file to record in. Ends when its input ends, and tells on its output how many operations were answered.

import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type * as Library from '../../src/client/index.ts';
import { Workload } from './workload.ts';

const [libraryFile = '', clientFile = '', name = '', recordFile = ''] = process.argv.slice(2);
const library: typeof Library = await import(libraryFile);
const clients = [
  await library.connect({ client: clientFile }),
  await library.connect({ client: clientFile }),
];
const workload = new Workload({ process: name, clients });
process.stdout.write('running\n');
for await (const _ of createInterface(process.stdin)) process.stdout.write(`${workload.done}\n`);
await workload.stop();
for (const client of clients) await client.close();
const { objects, contents, stored, done, wrong, failures } = workload;
writeFileSync(
  recordFile,
  JSON.stringify({
    objects: objects.text(),
    contents: contents.text(),
    stored: [...stored],
    done,
    wrong,
    failures,
  }),
);

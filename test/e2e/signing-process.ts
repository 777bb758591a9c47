// The signing module of one member in a process of its own. The arguments are its folder and its socket. Prints a line once it
// can be reached.

import { HoldfastError } from '../../src/base/errors.ts';
import { createLog } from '../../src/node/log.ts';
import { startSigningModule } from '../../src/server/replication/index.ts';

const [folder = '', socket = ''] = process.argv.slice(2);
startSigningModule({ folder, socket, log: createLog({ level: 'info' }) }).then(
  (signing) => {
    process.stdout.write('ready\n');
    process.on('SIGTERM', () => void signing.stop());
  },
  (error: unknown) => {
    if (!(error instanceof HoldfastError)) throw error;
    process.stderr.write(`${error.message}\n${error.cure ?? ''}\n`);
    process.exitCode = error.exitCode;
  },
);

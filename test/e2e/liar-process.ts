// A server that lies, in a process of its own, under the key and at the address of a real one. The argument is that
// server's settings file. It does what a correct server does, on the same disk, but between it and the network stands a
// lie: each request meets the next of several ways to answer it wrongly or not at all.

import { Prng } from '../../src/base/prng.ts';
import { storageInstance } from '../../src/configuration/certificates.ts';
import { ed25519 } from '../../src/crypto/signature.ts';
import { silentLog } from '../../src/env/log.ts';
import { noMetrics } from '../../src/env/metrics.ts';
import { systemClock, systemTimers } from '../../src/node/clock.ts';
import { systemEntropy } from '../../src/node/entropy.ts';
import { createIdentity } from '../../src/node/identity.ts';
import { createTlsNetwork } from '../../src/node/network.ts';
import { assembleServer } from '../../src/server/assemble.ts';
import { openDisk } from '../../src/server/disks.ts';
import { loadServerFile } from '../../src/server/server-file.ts';
import { trustOf } from '../../src/server/system-info.ts';
import { encodeMessage, messageNumber, payloadSizeBytesMax } from '../../src/wire/registry.ts';
import { type Lie, type LieMaker, LyingNetwork } from '../../testing/byzantine/liar.ts';
import { forging, wrongBytes } from '../../testing/byzantine/lies/falsifying.ts';
import { silent, stale } from '../../testing/byzantine/lies/withholding.ts';
import { Notebook } from '../../testing/byzantine/notebook.ts';

const wholeTruth: Lie = {};

/** One lie after the other, request by request; whatever is answered by correct code leaves with wrong bytes. */
const inTurn: LieMaker = (context) => {
  const lies = [wholeTruth, stale(context), forging(context), silent(context)];
  const { onReply } = wrongBytes(context);
  let turn = 0;
  return {
    onRequest(request, from) {
      const lie = lies[turn % lies.length];
      turn += 1;
      return lie?.onRequest?.(request, from);
    },
    ...(onReply === undefined ? {} : { onReply }),
  };
};

const [settings = ''] = process.argv.slice(2);
const file = await loadServerFile(settings, { env: {} });
const identity = await createIdentity(file.identitySeed);
const { configuration } = file;
const self = configuration.memberOf(identity.peer);
if (self === undefined) throw new TypeError(`${settings} is of no member`);

const tls = await createTlsNetwork({
  identity,
  listen: file.listen,
  greeting: {
    type: messageNumber('hello'),
    payload: encodeMessage('hello', { system: file.system.id, certificate: [] }),
  },
  sizeBytesMax: (type) => payloadSizeBytesMax(type),
  clock: systemClock,
  timers: systemTimers,
  entropy: systemEntropy,
  log: silentLog,
  metrics: noMetrics,
});
const network = new LyingNetwork({
  prng: new Prng(1),
  timers: systemTimers,
  network: tls,
  configuration,
  instance: storageInstance(file.system.id),
  self,
  scheme: ed25519,
  notebook: new Notebook(),
  makers: [inTurn],
  onLie: () => undefined,
});
const { disk } = await openDisk(file);
const server = await assembleServer({
  env: {
    clock: systemClock,
    timers: systemTimers,
    entropy: systemEntropy,
    log: silentLog,
    metrics: noMetrics,
    network,
  },
  disk,
  configuration,
  trust: trustOf(file.system),
  scheme: ed25519,
  self: identity.peer,
  recover: false,
  quotaBytesDefault: 0,
  scrubIntervalMs: file.scrubIntervalMs,
  scrubRateBytesPerSecond: file.scrubRateBytesPerSecond,
  software: 'holdfast 0.1.0',
});
process.stdout.write(typeof server === 'string' ? `${server}\n` : 'lying\n');

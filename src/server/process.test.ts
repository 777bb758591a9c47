import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../base/errors.ts';
import { createDevSystem } from './dev/layout.ts';
import { portsFrom } from './dev/ports.ts';
import { type RunServer, runServerProcess } from './process.ts';
import {
  type ChildReport,
  errorOfReport,
  failureReport,
  parseReport,
  type SupervisorChannel,
} from './supervision.ts';

let folder = '';
let file = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-process-'));
  const ports = portsFrom(7101, 4);
  const makeClient = () => Promise.resolve();
  const system = await createDevSystem({ folder, faults: 1, ports, makeClient });
  file = system.servers[0]?.settings ?? '';
});
afterEach(() => rm(folder, { recursive: true }));

interface Started {
  readonly reports: ChildReport[];
  readonly leaveSupervisor: () => void;
  readonly hasLeft: () => boolean;
  readonly ended: Promise<void>;
  readonly stop: AbortController;
  readonly fail: (error: HoldfastError) => void;
  readonly stops: () => number;
  readonly ready: Promise<string>;
  readonly warnings: readonly (string | undefined)[];
  readonly serve: () => void;
  readonly serving: Promise<string>;
}

function start(recover = false, flags: Record<string, string> = {}): Started {
  const stop = new AbortController();
  let fail: Started['fail'] = () => undefined;
  let stops = 0;
  const failed = new Promise<HoldfastError>((resolve) => {
    fail = resolve;
  });
  const runServer: RunServer = (loaded, options) => {
    expect(options.recover).toBe(recover);
    return Promise.resolve({
      address: loaded.name,
      adminAddress: 'b',
      isServing: !recover,
      served,
      failed,
      stop: () => {
        stops++;
        return Promise.resolve();
      },
    });
  };
  let serve = (): void => undefined;
  const served = new Promise<void>((resolve) => {
    serve = resolve;
  });
  const warnings: (string | undefined)[] = [];
  let onServing = (_: string): void => undefined;
  const serving = new Promise<string>((resolve) => {
    onServing = resolve;
  });
  const reports: ChildReport[] = [];
  let leaveSupervisor = (): void => undefined;
  let hasLeft = false;
  const supervisor: SupervisorChannel = {
    report: async (report) => void reports.push(report),
    gone: new Promise((resolve) => {
      leaveSupervisor = resolve;
    }),
    leave: () => {
      hasLeft = true;
    },
  };
  let ended: Promise<void> = Promise.resolve();
  const ready = new Promise<string>((onReady) => {
    ended = runServerProcess({
      runServer,
      file,
      overrides: { env: { HOLDFAST_LOG_LEVEL: 'silent' }, flags },
      recover,
      supervisor,
      signal: stop.signal,
      onReady: ({ name, warning }) => {
        warnings.push(warning);
        onReady(name);
      },
      onServing: ({ name }) => onServing(name),
    });
  });
  return {
    reports,
    leaveSupervisor: () => leaveSupervisor(),
    hasLeft: () => hasLeft,
    ended,
    stop,
    fail,
    stops: () => stops,
    ready,
    warnings,
    serve: () => serve(),
    serving,
  };
}

describe('a server process', () => {
  it('runs until it is told to stop, and then stops the server', async () => {
    const { ended, stop, stops, ready } = start(true);
    expect(await ready).toBe('s1');
    expect(stops()).toBe(0);
    stop.abort();
    await ended;
    expect(stops()).toBe(1);
  });

  it('ends with the error of a server that fails, and stops it', async () => {
    const { ended, fail, stops, ready } = start();
    await ready;
    fail(new HoldfastError('data-folder', 'the disk has failed'));
    await expect(ended).rejects.toThrow('the disk has failed');
    expect(stops()).toBe(1);
  });

  it('tells its supervisor when it is ready and how it failed', async () => {
    const { ended, fail, ready, reports, hasLeft } = start();
    await ready;
    expect(reports).toEqual([
      {
        kind: 'ready',
        id: expect.stringMatching(/^[0-9a-f]{8}$/),
        address: 's1',
        adminAddress: 'b',
        isRecovering: false,
      },
    ]);
    fail(new HoldfastError('data-folder', 'the disk has failed'));
    await expect(ended).rejects.toThrow();
    expect(reports[1]).toMatchObject({ kind: 'failed', code: 'data-folder' });
    expect(hasLeft()).toBe(true);
  });

  it('tells when it serves after it has recovered', async () => {
    const { ended, stop, ready, reports, serve, serving } = start(true);
    await ready;
    expect(reports).toMatchObject([{ kind: 'ready', isRecovering: true }]);
    serve();
    expect(await serving).toBe('s1');
    stop.abort();
    await ended;
  });

  it('warns when it listens where no client looks for it', async () => {
    const usual = start();
    await usual.ready;
    expect(usual.warnings).toEqual([undefined]);
    const moved = start(false, { 'listen.port': '9999' });
    await moved.ready;
    expect(moved.warnings).toEqual([expect.stringMatching(/port 9999, .* 127\.0\.0\.1:7101/)]);
    for (const { stop, ended } of [usual, moved]) {
      stop.abort();
      await ended;
    }
  });

  it('stops when its supervisor is gone', async () => {
    const { ended, ready, leaveSupervisor, stops } = start();
    await ready;
    leaveSupervisor();
    await ended;
    expect(stops()).toBe(1);
  });
});

describe('a report to the supervisor', () => {
  it('carries an error with code, message and cure', () => {
    for (const error of [
      new HoldfastError('data-folder', 'm', { cure: 'c' }),
      new HoldfastError('internal', 'm'),
    ]) {
      const report = parseReport(JSON.parse(JSON.stringify(failureReport(error))));
      if (report?.kind !== 'failed') expect.fail('no report of a failure');
      expect(errorOfReport(report)).toMatchObject({
        code: error.code,
        message: 'm',
        cure: error.cure,
      });
    }
  });

  it.each([undefined, null, 7, 'ready', {}, { kind: 'ready' }, { kind: 'failed', code: 'no' }])(
    'is not %j',
    (message) => {
      expect(parseReport(message)).toBeUndefined();
    },
  );
});

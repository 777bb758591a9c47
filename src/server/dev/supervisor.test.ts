import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Death,
  Supervisor,
  type SupervisorEvent,
  type SupervisorPace,
  supervisorDefaults,
} from './supervisor.ts';

/** A child of several characters; which one is its argument. */
const childScript = `
const ready = () => process.send({ kind: 'ready', id: 'i', address: 'a', adminAddress: 'b', isRecovering: false });
const stay = () => setInterval(() => {}, 1000);
const { appendFileSync, existsSync, writeFileSync } = await import('node:fs');
const [character, file] = process.argv.slice(2);
appendFileSync(file, 'started ' + process.pid + '\\n');
switch (character) {
  case 'good':
    process.on('SIGTERM', () => { appendFileSync(file, 'stopped\\n'); process.exit(0); });
    ready(); stay(); break;
  case 'stubborn':
    process.on('SIGTERM', () => {});
    ready(); stay(); break;
  case 'dies-once':
    if (existsSync(file + '.again')) { ready(); stay(); break; }
    writeFileSync(file + '.again', '');
    ready();
    for (let line = 1; line <= 9; line++) console.error('line ' + line);
    setImmediate(() => process.exit(1));
    break;
  case 'hopeless':
    process.send({ kind: 'failed', code: 'data-folder', message: 'wiped', cure: 'recover' }, () => process.exit(8));
    break;
  case 'confused':
    process.send({ kind: 'ready', address: 7 });
    process.send('?', () => process.exit(1));
    break;
  default: process.exit(1);
}
`;

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-supervisor-'));
  await writeFile(join(folder, 'child.mjs'), childScript);
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

interface Watched {
  readonly supervisor: Supervisor;
  readonly events: SupervisorEvent[];
  readonly traceFile: string;
  /** The event at this place, once it has happened. */
  readonly event: (index: number) => Promise<SupervisorEvent>;
}

function watch(character: string, options: Partial<SupervisorPace> = {}): Watched {
  const events: SupervisorEvent[] = [];
  const waiting: { index: number; resolve: (event: SupervisorEvent) => void }[] = [];
  const traceFile = join(folder, 'trace');
  const supervisor = new Supervisor({
    children: [
      {
        name: 's1',
        command: [process.execPath, join(folder, 'child.mjs'), character, traceFile],
        env: process.env,
        logFile: join(folder, 's1.log'),
      },
    ],
    onEvent: (event) => {
      events.push(event);
      for (const { index, resolve } of waiting) if (index === events.length - 1) resolve(event);
    },
    ...supervisorDefaults,
    pauseMsMin: 1,
    ...options,
  });
  const event = (index: number): Promise<SupervisorEvent> =>
    new Promise((resolve) => {
      const known = events[index];
      if (known === undefined) waiting.push({ index, resolve });
      else resolve(known);
    });
  return { supervisor, events, traceFile, event };
}

function deathOf(event: SupervisorEvent): Death {
  if (event.kind !== 'died') expect.fail(`not a death but ${event.kind}`);
  return event.death;
}

describe('a supervisor', () => {
  it('waits until its child is ready, and stops it cleanly without telling of a death', async () => {
    const { supervisor, events, traceFile } = watch('good');
    await supervisor.start();
    expect(events).toEqual([
      { kind: 'ready', name: 's1', id: 'i', address: 'a', adminAddress: 'b', isRecovering: false },
    ]);
    await supervisor.stop();
    expect(events).toHaveLength(1);
    expect(await readFile(traceFile, 'utf8')).toMatch(/^started \d+\nstopped\n$/);
  });

  it('starts a child again that died, and shows the end of its log', async () => {
    const { supervisor, event } = watch('dies-once');
    await supervisor.start();
    const death = deathOf(await event(1));
    expect(death.how).toBe('exit code 1');
    expect(death.restartInMs).toBe(1);
    expect(death.lastLines).toEqual(['line 5', 'line 6', 'line 7', 'line 8', 'line 9']);
    expect((await event(2)).kind).toBe('ready');
    await supervisor.stop();
  });

  it('waits longer after each death, up to a bound', async () => {
    const { supervisor, event } = watch('broken', { pauseMsMin: 1, pauseMsMax: 4 });
    await supervisor.start();
    const pauses = [];
    for (let at = 0; at < 4; at++) pauses.push(deathOf(await event(at)).restartInMs);
    expect(pauses).toEqual([1, 2, 4, 4]);
    await supervisor.stop();
  });

  it('forgets earlier deaths of a child that ran for long', async () => {
    const { supervisor, event } = watch('broken', { steadyAfterMs: 0 });
    await supervisor.start();
    expect(deathOf(await event(3)).restartInMs).toBe(1);
    await supervisor.stop();
  });

  it('leaves a child alone whose trouble only a person can cure', async () => {
    const { supervisor, events, traceFile } = watch('hopeless');
    await supervisor.start();
    const [event] = events;
    if (event === undefined) expect.fail('no event');
    const death = deathOf(event);
    expect(death.error?.code).toBe('data-folder');
    expect(death.error?.cure).toBe('recover');
    expect(death.restartInMs).toBeUndefined();
    await supervisor.stop();
    expect((await readFile(traceFile, 'utf8')).match(/started/g)).toHaveLength(1);
  });

  it('takes no strange message for readiness', async () => {
    const { supervisor, events } = watch('confused');
    await supervisor.start();
    expect(events.map(({ kind }) => kind)).toEqual(['died']);
    await supervisor.stop();
  });

  it('ends a child by force that does not stop', async () => {
    const { supervisor, traceFile } = watch('stubborn', { stopWithinMs: 20 });
    await supervisor.start();
    await supervisor.stop();
    const pid = Number(/\d+/.exec(await readFile(traceFile, 'utf8'))?.[0]);
    expect(() => process.kill(pid, 0)).toThrow();
  });

  it('tells of a program that cannot be started', async () => {
    const events: SupervisorEvent[] = [];
    const supervisor = new Supervisor({
      children: [
        { name: 's1', command: [join(folder, 'none')], env: {}, logFile: join(folder, 'log') },
      ],
      onEvent: (event) => events.push(event),
      ...supervisorDefaults,
    });
    await supervisor.start();
    await supervisor.stop();
    expect(events.map(({ kind }) => kind)).toEqual(['died']);
  });
});

// Runs the built program as operating system processes, and leaves none behind.

import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pidsFile, program } from './places.ts';
import { NeverHappened, until } from './until.ts';

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RunOptions {
  readonly cwd?: string;
  /** Over the test's own environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Runs under this command, such as `sh -c`. */
  readonly under?: readonly string[];
}

const running = new Set<Process>();

process.once('exit', () => {
  for (const one of running) one.kill('SIGKILL');
});

/** Ends all processes that this test file has started. For `afterEach` or `afterAll`; a test that fails early leaves them. */
export async function endAll(): Promise<void> {
  await Promise.all([...running].map((one) => one.end()));
}

function cleanEnvironment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(
    ([name]) => !/^(HOLDFAST_|VITEST|NODE_OPTIONS|NODE_ENV|FORCE_COLOR|XDG_CONFIG_HOME)/.test(name),
  );
  // Nobody's own client file is ever found by a test.
  return { ...Object.fromEntries(own), HOME: '/nonexistent' };
}

/** One running program; what it prints is kept. */
export class Process {
  readonly #child: ChildProcess;
  readonly #stdout: Buffer[] = [];
  #stderr = '';
  /** Resolves when it has ended and all that it printed is here. */
  readonly ended: Promise<Ended>;
  result: Ended | undefined;

  constructor(
    command: readonly [string, ...string[]],
    options: RunOptions & { discard?: boolean },
  ) {
    const [file, ...args] = command;
    this.#child = spawn(file, args, {
      cwd: options.cwd,
      env: { ...cleanEnvironment(), ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    running.add(this);
    if (this.#child.pid !== undefined) appendFileSync(pidsFile, `${this.#child.pid}\n`);
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      if (options.discard !== true) this.#stdout.push(chunk);
    });
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString('utf8');
    });
    // A program that does not read its input closes the pipe early.
    this.#child.stdin?.on('error', () => undefined);
    this.ended = new Promise((resolve) => {
      const end = (result: Ended): void => {
        this.result = result;
        running.delete(this);
        resolve(result);
      };
      this.#child.once('error', () => end({ code: null, signal: null }));
      this.#child.once('close', (code, signal) => end({ code, signal }));
    });
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new NeverHappened(`the program started: ${this.#child.spawnfile}`);
    return pid;
  }

  get stdout(): Buffer {
    return Buffer.concat(this.#stdout);
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** The stream itself, for tests that read or close it on their own. */
  get output(): Readable {
    return this.#child.stdout ?? Readable.from([]);
  }

  /** Gives it its whole input. Without this it waits for more. */
  give(input: Uint8Array | string | AsyncIterable<Uint8Array> | undefined): void {
    const { stdin } = this.#child;
    if (stdin === null) return;
    if (input === undefined || typeof input === 'string' || input instanceof Uint8Array) {
      stdin.end(input);
      return;
    }
    const source = Readable.from(input);
    source.on('error', (error) => stdin.destroy(error));
    source.pipe(stdin);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it by force, also when it is stopped. */
  async end(): Promise<void> {
    this.kill('SIGKILL');
    await this.ended;
  }

  /** Resolves when it has ended by itself. @throws NeverHappened */
  async endedWithin(timeoutMs: number): Promise<Ended> {
    return await until(`process ${this.pid} ends`, () => this.result, timeoutMs);
  }

  /** Resident memory in bytes without mapped files, which the system may take back at any time; 0 when it has ended. */
  ownMemoryBytes(): number {
    try {
      const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
      return 1024 * Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? 0);
    } catch {
      return 0;
    }
  }

  /** Resident memory in bytes, now and at its highest. */
  memory(): { readonly nowBytes: number; readonly peakBytes: number } {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    const field = (name: string): number =>
      1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN);
    return { nowBytes: field('VmRSS'), peakBytes: field('VmHWM') };
  }
}

/** Starts the program with these arguments. */
export function startProgram(
  args: readonly string[],
  options: RunOptions & { readonly discard?: boolean } = {},
): Process {
  const [file = process.execPath, ...before] = [...(options.under ?? []), process.execPath];
  return new Process([file, ...before, program, ...args], options);
}

export interface CliResult extends Ended {
  readonly stdout: string;
  readonly bytes: Buffer;
  readonly stderr: string;
  readonly tookMs: number;
}

export interface CliOptions extends RunOptions {
  readonly input?: Uint8Array | string | AsyncIterable<Uint8Array>;
  readonly timeoutMs?: number;
}

/** Runs one command to its end. @throws NeverHappened if it does not end. */
export async function runCli(
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  const startedMs = performance.now();
  const started = startProgram(args, options);
  started.give(options.input);
  try {
    const ended = await started.endedWithin(options.timeoutMs ?? 60_000);
    const bytes = started.stdout;
    const tookMs = performance.now() - startedMs;
    return { ...ended, bytes, stdout: bytes.toString('utf8'), stderr: started.stderr, tookMs };
  } catch (error) {
    const { stderr } = started;
    await started.end();
    throw new NeverHappened(`holdfast ${args.join(' ')} ends; it had said: ${stderr}`, {
      cause: error,
    });
  }
}

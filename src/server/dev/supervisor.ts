// Keeps child processes running: starts them, hears from them, restarts those that die, stops all.

import { type ChildProcess, spawn } from 'node:child_process';
import { type FileHandle, open } from 'node:fs/promises';
import type { HoldfastError } from '../../base/errors.ts';
import { reasonOf } from '../local-errors.ts';
import {
  type ChildReport,
  errorOfReport,
  parseReport,
  supervisedVariable,
} from '../supervision.ts';

export interface ChildSpec {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Takes what the child prints. */
  readonly logFile: string;
}

/** How a child ended. */
export interface Death {
  readonly name: string;
  /** "exit code 1", "signal SIGKILL" */
  readonly how: string;
  /** What it said itself. */
  readonly error: HoldfastError | undefined;
  /** The end of what it printed. */
  readonly lastLines: readonly string[];
  readonly logFile: string;
  /** Undefined if it is not started again: what ended it would end it again. */
  readonly restartInMs: number | undefined;
}

export type SupervisorEvent =
  | {
      readonly kind: 'ready';
      readonly name: string;
      readonly id: string;
      readonly address: string;
      readonly adminAddress: string;
      readonly isRecovering: boolean;
    }
  | { readonly kind: 'died'; readonly death: Death };

export interface SupervisorPace {
  /** First pause before a restart; it doubles up to `pauseMsMax`. */
  readonly pauseMsMin: number;
  readonly pauseMsMax: number;
  /** A child that ran for so long starts with the first pause again. */
  readonly steadyAfterMs: number;
  /** A child that has not ended so long after it was asked to is ended by force. */
  readonly stopWithinMs: number;
}

export interface SupervisorOptions extends SupervisorPace {
  readonly children: readonly ChildSpec[];
  readonly onEvent: (event: SupervisorEvent) => void;
}

export const supervisorDefaults: SupervisorPace = {
  pauseMsMin: 500,
  pauseMsMax: 30_000,
  steadyAfterMs: 60_000,
  stopWithinMs: 10_000,
};

/** Only a person can cure these. */
const hopelessCodes = new Set(['usage', 'bad-configuration', 'data-folder', 'not-permitted']);

const tailSizeBytes = 4096;
const tailLines = 5;

async function tailOf(path: string): Promise<string[]> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const { size } = await file.stat();
    const start = Math.max(0, size - tailSizeBytes);
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(tailSizeBytes),
      0,
      tailSizeBytes,
      start,
    );
    const text = buffer.subarray(0, bytesRead).toString('utf8');
    return text
      .split('\n')
      .filter((line) => line.trim() !== '')
      .slice(-tailLines);
  } catch {
    // Without a log there are no last lines; the death itself is told all the same.
    return [];
  } finally {
    await file?.close();
  }
}

class Child {
  readonly #spec: ChildSpec;
  readonly #options: SupervisorOptions;
  #process: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #restart: NodeJS.Timeout | undefined;
  #pauseMs: number;
  #isStopping = false;
  #settle: () => void = () => undefined;
  /** Resolves when the child has become ready or has died for the first time. */
  readonly settled: Promise<void>;

  constructor(spec: ChildSpec, options: SupervisorOptions) {
    this.#spec = spec;
    this.#options = options;
    this.#pauseMs = options.pauseMsMin;
    this.settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  async start(): Promise<void> {
    const { command, env, logFile } = this.#spec;
    const log = await open(logFile, 'a', 0o600);
    try {
      if (this.#isStopping) return;
      const [file, ...args] = command;
      // A group of its own: what the terminal sends reaches the supervisor alone, which then stops its children.
      const child = spawn(file, args, {
        env: { ...env, [supervisedVariable]: '1' },
        detached: true,
        stdio: ['ignore', log.fd, log.fd, 'ipc'],
      });
      this.#process = child;
      this.#ended = this.#watch(child);
    } finally {
      await log.close();
    }
  }

  async #watch(child: ChildProcess): Promise<void> {
    const startedMs = performance.now();
    const { name } = this.#spec;
    let failure: HoldfastError | undefined;
    child.on('message', (message) => {
      const report: ChildReport | undefined = parseReport(message);
      if (report?.kind === 'failed') failure = errorOfReport(report);
      if (report?.kind !== 'ready') return;
      this.#options.onEvent({ ...report, name });
      this.#settle();
    });
    const how = await new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('close', (code, signal) =>
        resolve(signal === null ? `exit code ${code}` : `signal ${signal}`),
      );
    });
    this.#process = undefined;
    if (performance.now() - startedMs >= this.#options.steadyAfterMs) {
      this.#pauseMs = this.#options.pauseMsMin;
    }
    await this.#died(how, failure);
    this.#settle();
  }

  async #died(how: string, error: HoldfastError | undefined): Promise<void> {
    const { name, logFile } = this.#spec;
    if (this.#isStopping) return;
    const isHopeless = error !== undefined && hopelessCodes.has(error.code);
    const restartInMs = isHopeless ? undefined : this.#pauseMs;
    const lastLines = await tailOf(logFile);
    if (this.#isStopping) return;
    this.#options.onEvent({
      kind: 'died',
      death: { name, how, error, lastLines, logFile, restartInMs },
    });
    if (restartInMs === undefined) return;
    this.#pauseMs = Math.min(this.#options.pauseMsMax, this.#pauseMs * 2);
    this.#restart = setTimeout(() => {
      this.start().catch((reason: unknown) => this.#died(reasonOf(reason), undefined));
    }, restartInMs);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#restart);
    const child = this.#process;
    if (child === undefined) return;
    const timer = setTimeout(() => child.kill('SIGKILL'), this.#options.stopWithinMs);
    child.kill('SIGTERM');
    await this.#ended;
    clearTimeout(timer);
  }
}

/** Starts the children at once and keeps them. */
export class Supervisor {
  readonly #children: readonly Child[];

  constructor(options: SupervisorOptions) {
    this.#children = options.children.map((spec) => new Child(spec, options));
  }

  /** Resolves when each child has become ready or has died once. */
  async start(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.start()));
    await Promise.all(this.#children.map((child) => child.settled));
  }

  /** Resolves when all children have ended. */
  async stop(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.stop()));
  }
}

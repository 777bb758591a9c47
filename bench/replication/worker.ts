// A process of the benchmark as its parent sees it.

import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HoldfastError } from '../../src/base/errors.ts';
import { interpreterFlags } from '../../src/server/interpreter-flags.ts';
import { type ClientsJob, type ReplicaJob, replySchema, type Task } from './jobs.ts';

const program = fileURLToPath(new URL('process.ts', import.meta.url));
const answerTimeoutMs = 5 * 60_000;

export class Worker {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** @throws HoldfastError when the process does not come up. */
  static async start(
    job: ReplicaJob | ClientsJob,
    profileFolder: string | undefined,
  ): Promise<Worker> {
    const role = job.role === 'replica' ? 'server' : 'client';
    const profile =
      profileFolder === undefined
        ? []
        : ['--cpu-prof', `--cpu-prof-dir=${join(profileFolder, role)}`];
    const execArgv = [...process.execArgv, ...interpreterFlags, ...profile];
    const worker = new Worker(fork(program, { execArgv }));
    await worker.#ask(job);
    return worker;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  do(task: Task): Promise<unknown> {
    return this.#ask(task);
  }

  kill(signal: NodeJS.Signals): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#child.once('close', () => resolve()));
    this.#child.kill(signal);
    return signal === 'SIGKILL' ? closed : Promise.resolve();
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    await this.#ask({ kind: 'end' });
    await closed;
  }

  #ask(what: Task | ReplicaJob | ClientsJob): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        clearTimeout(timer);
        this.#child.off('message', onMessage);
        this.#child.off('close', onClose);
        settle();
      };
      const fail = (words: string): void =>
        end(() => reject(new HoldfastError('unavailable', words)));
      const onMessage = (message: unknown): void => {
        const reply = replySchema.parse(message);
        if ('failure' in reply) fail(reply.failure);
        else end(() => resolve(reply.answer));
      };
      const onClose = (): void => fail('a process of the benchmark ended by itself');
      const timer = setTimeout(() => fail('a process of the benchmark hangs'), answerTimeoutMs);
      this.#child.on('message', onMessage);
      this.#child.on('close', onClose);
      this.#child.send(what);
    });
  }
}

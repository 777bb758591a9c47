// Client processes as the benchmark sees them.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { HoldfastError } from '../src/base/errors.ts';
import { interpreterFlags } from '../src/server/interpreter-flags.ts';
import { type AnswerOf, answerSchemas, type Job, type JobOf, replySchema } from './jobs.ts';
import { profileArguments } from './system.ts';

const program = fileURLToPath(new URL('client-process.ts', import.meta.url));

/** Every job is bounded by what it is asked to do; one that takes longer hangs. */
const jobTimeoutMs = 15 * 60_000;

export class ClientProcess {
  readonly #child: ChildProcess;

  constructor(profileFolder: string | undefined) {
    const profile = profileArguments(profileFolder, 'client');
    const execArgv = [...process.execArgv, ...interpreterFlags, ...profile];
    this.#child = fork(program, { execArgv });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** @throws HoldfastError when the job fails or the process ends. */
  do<Kind extends Job['kind']>(job: JobOf<Kind>): Promise<AnswerOf<Kind>> {
    return new Promise((resolve, reject) => {
      const end = (error: string | undefined, answer?: unknown): void => {
        clearTimeout(timer);
        this.#child.off('message', onMessage);
        this.#child.off('close', onClose);
        if (error !== undefined) return reject(new HoldfastError('unavailable', error));
        resolve(answerSchemas[job.kind].parse(answer) as AnswerOf<Kind>);
      };
      const onMessage = (message: unknown): void => {
        const reply = replySchema.parse(message);
        if ('failure' in reply) end(reply.failure);
        else end(undefined, reply.answer);
      };
      const onClose = (): void => end(`the client process ended during ${job.kind}`);
      const timer = setTimeout(() => {
        this.#child.kill('SIGKILL');
        end(`${job.kind} did not end`);
      }, jobTimeoutMs);
      this.#child.on('message', onMessage);
      this.#child.on('close', onClose);
      this.#child.send(job);
    });
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    await this.do({ kind: 'end' });
    await closed;
  }
}

/** At least one. */
export type Clients = readonly [ClientProcess, ...ClientProcess[]];

/** Runs `work` with as many connected client processes, which end after it. */
export async function withClients<T>(
  count: number,
  options: { readonly client: string; readonly profileFolder: string | undefined },
  work: (clients: Clients) => Promise<T>,
): Promise<T> {
  const more = Array.from({ length: count - 1 }, () => new ClientProcess(options.profileFolder));
  const clients: Clients = [new ClientProcess(options.profileFolder), ...more];
  try {
    await Promise.all(
      clients.map((client) => client.do({ kind: 'connect', client: options.client })),
    );
    return await work(clients);
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

// A whole system of real server processes, each of which can be killed, stopped, wiped, damaged and started again.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type * as Library from '../../src/client/index.ts';
import type * as Issue from '../../src/client/issue.ts';
import type * as AuthorityModule from '../../src/server/authority.ts';
import type * as Layout from '../../src/server/dev/layout.ts';
import { dist } from './places.ts';
import { freePorts } from './ports.ts';
import {
  type CliOptions,
  type CliResult,
  type Process,
  runCli,
  startProgram,
} from './processes.ts';
import { NeverHappened, until } from './until.ts';

/** The client library as it was built. */
export const library = async (): Promise<typeof Library> => await import(dist('client/index.js'));

const layout = async (): Promise<typeof Layout> => await import(dist('server/dev/layout.js'));
const issuing = async (): Promise<typeof Issue> => await import(dist('client/issue.js'));
const authorities = async (): Promise<typeof AuthorityModule> =>
  await import(dist('server/authority.js'));

/** A folder for one test, removed after it. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-e2e-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export interface StartOptions {
  readonly recover?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
}

/** One server of the system: its files, and its process while it runs. */
export class Server {
  readonly name: string;
  readonly port: number;
  readonly adminPort: number;
  /** Holds settings, key and data. */
  readonly folder: string;
  #process: Process | undefined;

  constructor(place: { name: string; port: number; adminPort: number; folder: string }) {
    this.name = place.name;
    this.port = place.port;
    this.adminPort = place.adminPort;
    this.folder = place.folder;
  }

  get settings(): string {
    return join(this.folder, 'server.toml');
  }

  get data(): string {
    return join(this.folder, 'data');
  }

  get table(): string {
    return join(this.data, 'table', 'data.mdb');
  }

  get endpoint(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** The process that runs, or that ran last. */
  get process(): Process {
    if (this.#process === undefined) throw new NeverHappened(`server ${this.name} was started`);
    return this.#process;
  }

  get isRunning(): boolean {
    return this.#process !== undefined && this.#process.result === undefined;
  }

  /** Starts it without waiting for anything. */
  launch({ recover = false, env = {}, flags = [] }: StartOptions = {}): Process {
    const args = ['server', '--config', this.settings, ...(recover ? ['--recover'] : []), ...flags];
    this.#process = startProgram(args, { env });
    return this.#process;
  }

  /** Starts it and waits for its word that it is ready, before it may have recovered. */
  async start(options: StartOptions = {}): Promise<void> {
    const started = this.launch(options);
    await until(`server ${this.name} is ready: ${started.stderr}`, () => {
      if (started.result !== undefined) return true;
      return /is ready:|is up and recovering:/.test(started.stderr);
    });
    if (started.result !== undefined) {
      throw new NeverHappened(`server ${this.name} starts; it ended: ${started.stderr}`);
    }
  }

  /** Starts it where it is expected to refuse; gives what it said. */
  async startRefused(options: StartOptions = {}): Promise<CliResult> {
    const started = this.launch(options);
    try {
      const ended = await started.endedWithin(20_000);
      const bytes = started.stdout;
      return { ...ended, bytes, stdout: `${bytes}`, stderr: started.stderr, tookMs: 0 };
    } finally {
      await started.end();
    }
  }

  /** The body of an operators' page, or undefined if it does not answer with 200. */
  async page(path: string): Promise<string | undefined> {
    const response = await fetch(`http://127.0.0.1:${this.adminPort}${path}`, {
      signal: AbortSignal.timeout(5_000),
    });
    const text = await response.text();
    return response.status === 200 ? text : undefined;
  }

  /** Waits until it answers requests. */
  async serving(timeoutMs = 30_000): Promise<void> {
    await until(`server ${this.name} serves`, async () => await this.page('/readyz'), timeoutMs);
  }

  /** One number of its metrics; 0 if it was never counted. */
  async metric(name: string, label?: string): Promise<number> {
    const text = (await this.page('/metrics')) ?? '';
    let sum = 0;
    for (const line of text.split('\n')) {
      const [full = '', value] = line.split(/ (?=[^ ]*$)/);
      if (full !== name && !full.startsWith(`${name}{`)) continue;
      if (label === undefined || full.includes(`"${label}"`)) sum += Number(value);
    }
    return sum;
  }

  /** Ends it as an operator would. @throws NeverHappened if it takes too long. */
  async stop(): Promise<void> {
    this.process.kill('SIGTERM');
    await this.process.endedWithin(10_000);
  }

  async kill(): Promise<void> {
    await this.process.end();
  }

  /** Keeps the process from running, as a machine that hangs. */
  async pause(): Promise<void> {
    this.process.kill('SIGSTOP');
    await until(`server ${this.name} is stopped`, async () =>
      /^State:\s+T/m.test(await readFile(`/proc/${this.process.pid}/status`, 'utf8')),
    );
  }

  resume(): void {
    this.process.kill('SIGCONT');
  }

  async wipe(): Promise<void> {
    await rm(this.data, { recursive: true, force: true });
  }
}

export interface SystemOptions {
  readonly servers?: number;
  readonly faults?: number;
}

/** Made with the modules behind `holdfast dev`, run as separate processes. Ended after its test. */
export class System {
  readonly folder: string;
  readonly servers: readonly Server[];
  readonly clientFile: string;
  readonly #open: Library.Client[] = [];

  private constructor(folder: string, servers: readonly Server[], clientFile: string) {
    this.folder = folder;
    this.servers = servers;
    this.clientFile = clientFile;
  }

  /** Makes a system without starting it. The caller ends it. */
  static async make({ servers = 4, faults = 1 }: SystemOptions = {}): Promise<System> {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-e2e-'));
    const { createDevSystem } = await layout();
    const { issueClient } = await issuing();
    const free = await freePorts(2 * servers);
    const ports = Array.from({ length: servers }, (_, at) => ({
      port: free[2 * at] ?? 0,
      adminPort: free[2 * at + 1] ?? 0,
    }));
    const made = await createDevSystem({
      folder: join(folder, 'system'),
      faults,
      ports,
      makeClient: (authority, file) => issueClient(authority, { name: 'dev', quotaBytes: 0, file }),
    });
    const all = made.servers.map(
      ({ name, port, adminPort }) =>
        new Server({ name, port, adminPort, folder: join(made.folder, 'servers', name) }),
    );
    return new System(folder, all, made.clientFile);
  }

  /** Makes and starts a system that ends with the running test. */
  static async forTest(options: SystemOptions = {}): Promise<System> {
    const system = await System.make(options);
    onTestFinished(() => system.end());
    await system.start();
    return system;
  }

  /** The server at this place, from 0. */
  at(index: number): Server {
    const server = this.servers[index];
    if (server === undefined) throw new NeverHappened(`there is a server ${index}`);
    return server;
  }

  async start(options: StartOptions = {}): Promise<void> {
    await Promise.all(this.servers.map((server) => server.start(options)));
    await Promise.all(this.servers.map((server) => server.serving()));
  }

  /** Makes one more client. */
  async newClient(name: string, quotaBytes = 0): Promise<string> {
    const { Authority } = await authorities();
    const { issueClient } = await issuing();
    const file = join(this.folder, `${name}.toml`);
    const authority = await Authority.open(join(this.folder, 'system', 'authority'));
    await issueClient(authority, { name, quotaBytes, file });
    return file;
  }

  /** A client in this process. Closed with the system. */
  async connect(options: Library.ConnectOptions = {}): Promise<Library.Client> {
    const { connect } = await library();
    const client = await connect({ client: this.clientFile, ...options });
    this.#open.push(client);
    return client;
  }

  /** Runs a command as the system's client. */
  cli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    return runCli([...args, '--client', this.clientFile], { cwd: this.folder, ...options });
  }

  /** What `status --json` says. */
  async status(): Promise<Library.SystemStatus> {
    const client = await this.connect({ timeoutMs: 5_000 });
    try {
      return await client.status();
    } finally {
      await client.close();
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.#open.map((client) => client.close()));
    await Promise.all(this.servers.map((server) => (server.isRunning ? server.kill() : undefined)));
    await rm(this.folder, { recursive: true, force: true });
  }
}

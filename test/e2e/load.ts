// The workload of a test over all its processes: started, judged after everything has healed.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import type { Client } from '../../src/client/index.ts';
import { checkDurability } from '../../testing/checkers/durability.ts';
import { explain } from '../../testing/checkers/linearizability.ts';
import { checkPresence } from '../../testing/checkers/presence.ts';
import { readRecordings } from '../../testing/checkers/recording.ts';
import { dist, projectFolder } from './places.ts';
import { Process } from './processes.ts';
import type { System } from './system.ts';
import { until } from './until.ts';
import { objectNames, readDigest, Workload } from './workload.ts';

interface Recorded {
  readonly objects: string;
  readonly contents: string;
  readonly stored: readonly (readonly [string, string])[];
  readonly done: number;
  readonly wrong: readonly string[];
  readonly failures: readonly string[];
}

const clientsHere = 4;

/** Clients in this process and in another one. */
export class Load {
  readonly #system: System;
  readonly #here: Workload;
  readonly #other: Process;
  readonly #recordFile: string;

  private constructor(system: System, here: Workload, other: Process, recordFile: string) {
    this.#system = system;
    this.#here = here;
    this.#other = other;
    this.#recordFile = recordFile;
  }

  static async start(system: System): Promise<Load> {
    const recordFile = join(system.folder, `recording-${performance.now()}.json`);
    const other = new Process(
      [
        process.execPath,
        ...['--import', 'tsx', join(projectFolder, 'test/e2e/workload-process.ts')],
        ...[pathToFileURL(dist('client/index.js')).href, system.clientFile, 'other', recordFile],
      ],
      { cwd: projectFolder },
    );
    await until('the second process has connected', () => {
      if (other.result !== undefined) throw new Error(other.stderr);
      return other.stdout.includes('running');
    });
    const clients = await Promise.all(
      Array.from({ length: clientsHere }, () => system.connect({ timeoutMs: 60_000 })),
    );
    const here = new Workload({ process: 'here', clients });
    const load = new Load(system, here, other, recordFile);
    onTestFinished(() => load.#giveUp(clients));
    await load.goesOn();
    return load;
  }

  /** Whatever became of the test: nothing runs on. */
  async #giveUp(clients: readonly Client[]): Promise<void> {
    const stopped = this.#here.stop();
    await Promise.all(clients.map((client) => client.close()));
    await Promise.all([stopped, this.#other.end()]);
  }

  /** Operations answered to the clients of this process. */
  get done(): number {
    return this.#here.done;
  }

  /** Waits until this many more operations have been answered. */
  async goesOn(operations = 50, timeoutMs = 60_000): Promise<void> {
    const goal = this.#here.done + operations;
    await until(`${operations} more operations`, () => this.#here.done >= goal, timeoutMs);
  }

  /** Stops, reads everything once more, and judges. Gives what failed, for tests in which nothing may. */
  async judge(): Promise<{ readonly failures: readonly string[]; readonly done: number }> {
    this.#other.give(undefined);
    await this.#here.stop();
    const ended = await this.#other.endedWithin(90_000);
    expect(ended, this.#other.stderr).toEqual({ code: 0, signal: null });
    const other: Recorded = JSON.parse(await readFile(this.#recordFile, 'utf8'));
    expect([...this.#here.wrong, ...other.wrong], 'errors that no client may meet').toEqual([]);
    await this.#judgeObjects(other);
    await this.#judgeContents(other);
    const failures = [...this.#here.failures, ...other.failures];
    return { failures, done: this.#here.done + other.done };
  }

  async #judgeObjects(other: Recorded): Promise<void> {
    const history = readRecordings([this.#here.objects.text(), other.objects]);
    const reader = await this.#system.connect();
    const finalReads: { object: string; value: string | null }[] = [];
    for (const object of objectNames) {
      finalReads.push({ object, value: await readDigest(reader, object) });
    }
    const verdict = checkDurability(history, finalReads);
    expect(verdict.result, explain(verdict)).toBe('linearizable');
  }

  async #judgeContents(other: Recorded): Promise<void> {
    const reader = await this.#system.connect();
    for (const [address, digest] of other.stored) this.#here.stored.set(address, digest);
    for (const address of this.#here.stored.keys()) {
      await this.#here.getStored(reader, 'final reader', address);
    }
    const history = readRecordings([this.#here.contents.text(), other.contents]);
    const verdict = checkPresence(history);
    expect(verdict.result, explain(verdict)).toBe('present');
    expect(this.#here.stored.size, 'contents stored').toBeGreaterThan(5);
  }
}

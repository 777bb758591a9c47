// Honest clients that keep working through a test, and what they have seen in the end.

import { expect } from 'vitest';
import { checkRegisterHistory, explain } from '../../testing/checkers/linearizability.ts';
import { checkPresence } from '../../testing/checkers/presence.ts';
import { readRecordings } from '../../testing/checkers/recording.ts';
import type { System } from './system.ts';
import { until } from './until.ts';
import { Workload } from './workload.ts';

export class Witness {
  readonly #workload: Workload;
  #stopped = false;

  private constructor(workload: Workload) {
    this.#workload = workload;
  }

  static async start(system: System): Promise<Witness> {
    const options = { timeoutMs: 60_000 };
    const clients = [await system.connect(options), await system.connect(options)];
    const witness = new Witness(new Workload({ process: 'witness', clients }));
    await witness.goesOn();
    return witness;
  }

  /** Waits until this many more operations have been answered, unless they have been stopped. @throws NeverHappened */
  async goesOn(operations = 20): Promise<void> {
    if (this.#stopped) return;
    const { wrong } = this.#workload;
    const goal = this.#workload.done + operations;
    await until(`${operations} more operations of the honest clients; ${wrong}`, () => {
      return this.#workload.done >= goal;
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#workload.stop();
  }

  /** Stops. Every operation was answered, and all answers fit together. */
  async judge(): Promise<void> {
    await this.stop();
    const { wrong, failures, objects, contents, done } = this.#workload;
    expect({ wrong, failures }).toEqual({ wrong: [], failures: [] });
    const registers = checkRegisterHistory(readRecordings([objects.text()]));
    expect(registers.result, explain(registers)).toBe('linearizable');
    const presence = checkPresence(readRecordings([contents.text()]));
    expect(presence.result, explain(presence)).toBe('present');
    expect(done).toBeGreaterThan(100);
  }
}

// What must always hold in a test cluster, looked at from outside.

import { mapKey } from '../../base/bytes.ts';
import type { Core } from './core.ts';
import { Violation } from './test-violation.ts';

interface Told {
  readonly index: number;
  readonly key: string;
  readonly results: ReadonlyMap<number, number>;
}

export class TestChecks {
  /** The one log, as far as anybody knows it to be committed: its batches, and the requests in them. */
  readonly #committed = new Map<number, string>();
  readonly #requests = new Map<number, string[]>();

  /** Looks at a replica after an event. @returns up to where its log was compared. */
  look(index: number, core: Core, comparedTo: number): number {
    if (core.commit > core.log.last && core.hasLog) {
      throw new Violation(`${index} has committed what it does not have`);
    }
    if (core.lastNormal > core.view) throw new Violation(`${index}: lastNormal above view`);
    for (let n = Math.max(core.log.first, comparedTo + 1); n <= core.commit; n++) {
      const { bytes, entry } = core.log.at(n);
      const key = mapKey(bytes);
      const known = this.#committed.get(n);
      if (known !== undefined && known !== key) {
        throw new Violation(`two batches are committed at ${n}, the second one at ${index}`);
      }
      if (known !== undefined) continue;
      this.#committed.set(n, key);
      const requests = entry.requests.map(({ client, number }) => `${mapKey(client)}${number}`);
      this.#requests.set(n, requests);
    }
    return Math.max(comparedTo, core.commit);
  }

  /** Every answer is what the one log says, executed once and in order. */
  end(clients: readonly Told[]): void {
    // What was forgotten in the very event that committed it was not seen; then there is less to compare.
    if (this.#requests.size !== Math.max(0, ...this.#committed.keys())) return;
    const results = new Map<string, number>();
    for (let n = 1; n <= this.#requests.size; n++) {
      for (const request of this.#requests.get(n) ?? []) {
        if (!results.has(request)) results.set(request, results.size);
      }
    }
    for (const { index, key, results: told } of clients) {
      for (const [number, result] of told) {
        const expected = results.get(`${key}${number}`);
        if (expected !== result) {
          throw new Violation(`client ${index} has ${result} for ${number}, not ${expected}`);
        }
      }
    }
  }
}

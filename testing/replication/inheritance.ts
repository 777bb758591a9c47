// What a group begins with that goes on after another one: made by the service itself, so that it is such a state as the end
// of an instance leaves.

import { encodeOperation, KeyValueStore } from '../../examples/key-value/index.ts';
import { assert } from '../../src/base/assert.ts';
import { type Bytes, emptyBytes, utf8 } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { PageChange } from '../../src/replication/contract.ts';
import { Executor } from '../../src/replication/executor.ts';
import type { KeyHistory } from './key-history.ts';
import type { RunOptions } from './options.ts';
import { RecordingService, silentListener, tagged, tagOf } from './recording-service.ts';

export interface Inheritance {
  readonly genesis: Bytes;
  readonly pages: readonly PageChange[];
  /** Members that have the pages from the start. */
  readonly heirs: ReadonlySet<number>;
}

interface Past {
  readonly prng: Prng;
  readonly options: RunOptions;
  readonly history: KeyHistory;
  readonly nextTag: () => number;
  /** Of clients, some of which go on in the next instance. */
  readonly clients: readonly Bytes[];
}

const operationsMax = 40;

/** Plays an instance up to its end, and notes what its clients saw. */
export function inherit({ prng, options, history, nextTag, clients }: Past): Inheritance {
  const executor = new Executor(new RecordingService(new KeyValueStore(), silentListener));
  const count = prng.between(1, operationsMax);
  let number = 0;
  const execute = (operation: Bytes): void => {
    number += prng.between(1, 3);
    const client = prng.pick(clients);
    assert(client !== undefined, 'there are clients');
    const request = { client, number, kind: 0, operation };
    const { outcome } = executor.execute(request, emptyBytes, number);
    assert(outcome === 0, 'the instance goes on');
  };
  for (let i = 0; i < count; i++) {
    const key = `k${prng.below(options.keys + 1)}`;
    const name = `past.${i}`;
    const value = utf8(`${name}|`.padEnd(prng.between(...options.valueBytes), '.'));
    const bytes = tagged(nextTag(), encodeOperation({ kind: 'put', key: utf8(key), value }));
    const effect = { kind: 'write', value: name } as const;
    history.end([[history.begin('past', key, tagOf(bytes), effect), effect]]);
    execute(bytes);
  }
  execute(tagged(nextTag(), encodeOperation({ kind: 'stop' })));
  assert(executor.ended, 'a STOP ends the instance');
  const { root } = executor.checkpoint(number);
  return { genesis: root, pages: [...executor.state.all()], heirs: drawHeirs(prng, options) };
}

/** So many that, any f of them left out, those that are left can make each other's first checkpoint known. */
function drawHeirs(prng: Prng, { engine, faults, vr }: RunOptions): ReadonlySet<number> {
  const size = (engine === 'pbft' ? 3 : 2) * faults + 1;
  const all = Array.from({ length: size }, (_, index) => index);
  // Witnesses are no use as heirs.
  if (vr.witnesses === true || prng.chance(1, 4)) return new Set(all);
  const least = engine === 'pbft' ? 2 * faults + 1 : faults + 1;
  return new Set(prng.shuffled(all).slice(0, prng.between(least, size)));
}

// A script for PBFT whose primary adds input of its own to batches, and adds what no correct one would.

import { altered, type LieMaker } from '../lies/lying-engine.ts';
import { digestOf } from '../lies/ordering.ts';
import type { Script } from './scenario.ts';

/** As a clock's, but for the byte by which members know what makes sense. */
const nonsense = new Uint8Array(8).fill(7);

/**
 * As primary, sends every batch with input that makes no sense: to all, who then have one batch that they could agree on,
 * or to f+1 of them, so that the rest cannot prepare what makes sense.
 */
export const raving: LieMaker = (context) => {
  const { prng, group, index } = context;
  const n = group.members.length;
  const deceived = prng.pick([group.faults + 1, n - 1]) ?? n - 1;
  const digests = new Map<string, Uint8Array>();
  const keyOf = ({ view, sequence }: { view: number; sequence: number }): string =>
    `${view} ${sequence}`;
  return {
    onSend: (send, to) => {
      if (to.kind !== 'replica' || (to.index - index - 1 + n) % n >= deceived) return undefined;
      if (send.name === 'prePrepare') {
        const value = { ...send.value, agreed: nonsense };
        digests.set(keyOf(value), digestOf(context, value));
        return [altered(send, to, value)];
      }
      if (send.name !== 'pbftCommit') return undefined;
      const digest = digests.get(keyOf(send.value));
      return digest === undefined ? undefined : [altered(send, to, { ...send.value, digest })];
    },
  };
};

/** Members refuse the input and go on with the first primary that adds what makes sense. */
export const senselessInput: Script = async (stage) => {
  const { group, faults } = stage;
  const { session } = stage.client('c0');
  await stage.work([session], 10);
  await stage.together();
  let refused = 0;
  for (const { name, status, node } of group.correct) {
    stage.demand((status?.view ?? 0) >= faults, `${name} goes on with a primary that raves`);
    refused += node.metrics.counted('replication_events_total', 'agreed-refused');
  }
  stage.expect(refused > 0, 'nobody was sent anything senseless');
};

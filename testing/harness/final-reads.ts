// After everything has healed, a client that knows nothing yet reads all that there is.

import { toHex } from '../../src/base/bytes.ts';
import { blockId } from '../../src/dbqs/ids.ts';
import type { FinalRead } from '../checkers/durability.ts';
import type { History } from '../checkers/history.ts';
import type { Simulation } from '../simulator/simulation.ts';
import type { ClientMachine, Operation } from './client-machine.ts';
import { strictTimeoutMs, type Workload } from './workload.ts';

export async function finalReads(
  simulation: Simulation,
  reader: ClientMachine,
  workload: Workload,
  history: History,
): Promise<{ readonly objects: FinalRead[] } | { readonly message: string }> {
  const { session } = reader;
  if (session === undefined) return { message: 'the final reader did not start' };
  const operations: Operation[] = [
    ...workload.objects.map(({ id }): Operation => ({ kind: 'read', object: id })),
    ...workload.blocks.map((data): Operation => ({ kind: 'get', block: blockId(data) })),
  ];
  for (const operation of operations) {
    const ending = await simulation.complete(
      session.perform(operation, strictTimeoutMs),
      2 * strictTimeoutMs,
    );
    if (ending !== 'done') return { message: `a final ${operation.kind} ended by ${ending}` };
  }
  return {
    objects: workload.objects.map(({ id }) => {
      const object = toHex(id);
      const last = history.operations.findLast(
        (operation) => operation.object === object && operation.client === session.name,
      );
      return { object, value: last?.value ?? null };
    }),
  };
}

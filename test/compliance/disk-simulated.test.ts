import { AssertionFailed, assert } from '../../src/base/assert.ts';
import type { PeerId } from '../../src/base/brand.ts';
import { Fabric } from '../../testing/simulator/network.ts';
import { type Machine, SimulatedNode } from '../../testing/simulator/node.ts';
import { Simulation } from '../../testing/simulator/simulation.ts';
import { type DiskHarness, diskCompliance } from './disk.ts';

// Virtual time goes on by itself for as long as a test runs, since the suite knows nothing of it.
async function simulatedDisk(): Promise<DiskHarness> {
  const simulation = new Simulation({ seed: 1 });
  const node = new SimulatedNode(simulation, new Fabric(simulation), {
    name: 'n',
    peer: 'n' as PeerId,
  });
  let disposed = false;
  const pump = (async () => {
    while (!disposed) await simulation.runFor(1);
  })();
  return {
    async open() {
      let machine: Machine | undefined;
      node.crash();
      node.start((started) => {
        machine = started;
      });
      if (machine === undefined) throw new AssertionFailed('a node starts at once');
      assert(machine.disk.journalDamage === undefined, 'nothing was spoilt');
      return machine.disk;
    },
    async crash() {
      node.crash();
    },
    async dispose() {
      disposed = true;
      await pump;
    },
  };
}

diskCompliance('a simulated disk', simulatedDisk);

// Random runs for tests: a seed draws the group, its parameters and what goes wrong; then everything heals, and all that
// was asked must be answered and all replicas be equal.

import { Prng } from '../../base/prng.ts';
import { diskForgottenCode } from '../contract.ts';
import type { PbftParameters } from './parameters.ts';
import { TestCluster, type TestClusterOptions } from './test-cluster.ts';

export interface CampaignReport {
  readonly problems: readonly string[];
  readonly cluster: TestCluster;
}

const troubleMs = 1500;
const healedMsMax = 60_000;

function drawOptions(seed: number, prng: Prng): TestClusterOptions {
  const checkpointInterval = 1 + prng.below(6);
  return {
    seed,
    faults: prng.below(4) === 0 ? 2 : 1,
    clients: 1 + prng.below(4),
    parameters: {
      checkpointInterval,
      window: checkpointInterval * (2 + prng.below(2)),
      batchesInFlight: 1 + prng.below(Math.min(4, 2 * checkpointInterval)),
      batchRequests: 1 + prng.below(4),
      timeoutMs: 80 + prng.below(150),
      statusIntervalMs: 20,
      idleStatusIntervalMs: 100,
      isTentative: prng.below(2) === 0,
    },
    lossPerMille: prng.below(3) === 0 ? 0 : prng.below(200),
    delayMsMax: 1 + prng.below(40),
    flushMsMax: prng.below(12),
    saveMsMax: prng.below(40),
    isEncoded: prng.below(10) === 0,
  };
}

/** @param change and `parameters`: what this campaign wants otherwise than drawn. */
export function runCampaign(
  seed: number,
  change: Partial<TestClusterOptions> = {},
  parameters: Partial<PbftParameters> = {},
): CampaignReport {
  const prng = new Prng(seed);
  const drawn = drawOptions(seed, prng);
  const cluster = new TestCluster({
    ...drawn,
    parameters: { ...drawn.parameters, ...parameters },
    ...change,
  });
  const clients = cluster.clientSigners.length;
  let asked = 0;
  const isTroubled = prng.below(5) > 0;
  const cut = new Set<number>();
  cluster.filter = (from, to) => from < 0 || !cut.has(from * cluster.n + to);
  while (cluster.nowMs < troubleMs) {
    const kind = prng.below(20);
    const client = cluster.client(prng.below(clients));
    if (kind < 11 && client.inFlight < 8) {
      asked += 1;
      client.write();
    } else if (kind < 14 && client.inFlight < 8) {
      asked += 1;
      client.read();
    } else if (isTroubled && kind === 14) {
      cluster.crash(prng.below(cluster.n));
    } else if (isTroubled && kind < 17) {
      cluster.restart(prng.below(cluster.n));
    } else if (isTroubled && kind === 17) {
      cut.add(prng.below(cluster.n * cluster.n));
    } else if (kind === 18) cut.clear();
    cluster.run(cluster.nowMs + 1 + prng.below(50));
  }
  cut.clear();
  cluster.lossPerMille = 0;
  for (const { index } of cluster.replicas) cluster.restart(index);
  const isAnswered = cluster.run(
    cluster.nowMs + healedMsMax,
    () => cluster.outcomes.length === asked,
  );
  const isEqual = cluster.run(cluster.nowMs + healedMsMax, () => {
    const [first, ...others] = cluster.replicas.map(({ engine }) => engine.status());
    return others.every(({ executed }) => executed === first?.executed);
  });
  const problems = cluster.problems();
  if (!isAnswered)
    problems.push(`${asked - cluster.outcomes.length} of ${asked} were not answered`);
  if (!isEqual) problems.push('the replicas did not become equal');
  if (cluster.count(diskForgottenCode) > 0) problems.push('a whole disk counts as a lost one');
  return { problems, cluster };
}

import { expect, it } from 'vitest';
import { runCampaign } from './test-campaign.ts';

const seeds = 60;

it('random runs agree, execute at most once, and answer everything after healing', () => {
  const counts = new Map<string, number>();
  for (let seed = 1; seed <= seeds; seed++) {
    const { problems, cluster } = runCampaign(seed);
    expect(problems, `seed ${seed}`).toEqual([]);
    for (const [code, count] of cluster.counts) counts.set(code, (counts.get(code) ?? 0) + count);
  }
  // What would make the runs worth little if it never happened.
  for (const mark of [
    'view-left',
    'view-entered',
    'new-view-incomplete',
    'transfer-done',
    'body-not-wanted',
    'primary-too-slow',
  ]) {
    expect(counts.get(mark) ?? 0, mark).toBeGreaterThan(0);
  }
}, 60_000);

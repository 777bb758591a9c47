import { describe, expect, it } from 'vitest';
import type { Effects, Evidence } from '../../src/replication/contract.ts';
import { withEffects } from './mutants/mutant.ts';
import { correctParts, type Parts } from './parts.ts';
import type { RunReport } from './report.ts';
import { playScenario } from './scenarios/scenarios.ts';

/** A client contradicts itself, and whoever notices says something else than an engine would. */
function told(change: (evidence: Evidence) => Evidence): Promise<RunReport> {
  const changed = (effects: Effects): Effects => ({
    ...effects,
    evidence: effects.evidence.map(change),
  });
  const parts: Parts = { ...correctParts, engine: (engine) => withEffects(engine, changed) };
  const name = { seed: 1, engine: undefined, scenario: 'two-bodies', mutant: undefined };
  return playScenario('two-bodies', { name, parts });
}

describe('a run in which evidence is held', () => {
  it('is right when the evidence holds', async () => {
    const seen: string[] = [];
    const report = await told((evidence) => {
      seen.push(evidence.code);
      return evidence;
    });
    expect(report.failure).toBeUndefined();
    expect(seen).toContain('request-contradiction');
  });

  it.each<[string, (evidence: Evidence) => Evidence]>([
    ['was damaged', (evidence) => ({ ...evidence, proof: evidence.proof.slice(1) })],
    ['is of another fault', (evidence) => ({ ...evidence, code: 'new-view-contradiction' })],
    ['accuses someone else', (evidence) => ({ ...evidence, accused: new Uint8Array(32) })],
  ])('fails when the proof %s', async (_, change) => {
    const { failure } = await told(change);
    expect(failure).toMatchObject({ kind: 'safety' });
    expect(failure?.message).toContain('holds evidence that proves nothing');
  });
});

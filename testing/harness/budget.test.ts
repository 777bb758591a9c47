import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { simulatedSignatures } from '../simulator/signatures.ts';
import { FaultBudget } from './budget.ts';
import { found } from './genesis.ts';

function configurationOf(servers: number, faults: number) {
  const scheme = simulatedSignatures();
  return found({ prng: new Prng(1), scheme, servers, faults }).configuration;
}

describe('a fault budget', () => {
  it.each([
    [4, 1],
    [5, 1],
    [8, 1],
    [7, 2],
    [14, 2],
  ])('never lets a group of %d servers have more than %d faulty ones', (servers, faults) => {
    const configuration = configurationOf(servers, faults);
    const budget = new FaultBudget(configuration);
    for (const { peer } of new Prng(servers).shuffled(configuration.members)) budget.take(peer);
    const perGroup = configuration.members.map(
      ({ id }) => configuration.groupOf(id).members.filter(({ peer }) => budget.has(peer)).length,
    );
    expect(Math.max(...perGroup)).toBe(faults);
  });

  it('has room again when a server has recovered', () => {
    const configuration = configurationOf(4, 1);
    const budget = new FaultBudget(configuration);
    const [one, other] = configuration.members.map(({ peer }) => peer);
    if (one === undefined || other === undefined) return expect.fail('there are four servers');
    expect(budget.take(one)).toBe(true);
    expect(budget.take(one)).toBe(true);
    expect(budget.take(other)).toBe(false);
    budget.giveBack(one);
    expect(budget.take(other)).toBe(true);
    expect(budget.has(one)).toBe(false);
  });
});

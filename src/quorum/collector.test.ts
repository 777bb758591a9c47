import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PeerId } from '../base/brand.ts';
import { Collector } from './collector.ts';

const peers = ['a', 'b', 'c', 'd'] as PeerId[];
const [a, b, c, d] = peers as [PeerId, PeerId, PeerId, PeerId];

describe('Collector', () => {
  it('reaches a quorum of distinct members and not before', () => {
    const votes = new Collector<number>(peers, 3);
    expect(votes.vote(a, 1)).toBe('counted');
    expect(votes.vote(a, 1)).toBe('repeated');
    expect(votes.vote(b, 1)).toBe('counted');
    expect(votes.tally).toBe('pending');
    expect(votes.vote(c, 1)).toBe('counted');
    expect(votes.tally).toBe('reached');
  });

  it('keeps the first vote unless the later one may replace it', () => {
    const votes = new Collector<number>(peers, 3);
    votes.vote(a, 5);
    expect(votes.vote(a, 7)).toBe('repeated');
    expect(votes.votes.get(a)).toBe(5);
    expect(votes.vote(a, 7, (earlier) => earlier < 7)).toBe('replaced');
    expect(votes.vote(a, 6, (earlier) => earlier < 6)).toBe('repeated');
    expect(votes.votes.get(a)).toBe(7);
  });

  it('never counts a stranger', () => {
    const votes = new Collector<number>([a], 1);
    expect(votes.vote(d, 1)).toBe('stranger');
    expect(votes.tally).toBe('pending');
  });

  it('is impossible once too many refuse, and possible again when one of them votes', () => {
    const votes = new Collector<number>(peers, 3);
    votes.refuse(a);
    expect(votes.tally).toBe('pending');
    votes.refuse(b);
    expect(votes.tally).toBe('impossible');
    votes.vote(b, 1);
    expect(votes.tally).toBe('pending');
    votes.refuse(b);
    expect(votes.has(b)).toBe(true);
  });

  it('agrees with a naive count over any sequence of votes, refusals and retractions', () => {
    const step = fc.tuple(
      fc.constantFrom('vote', 'refuse', 'retract'),
      fc.constantFrom(...peers, 'x' as PeerId),
    );
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 30 }),
        fc.integer({ min: 1, max: 4 }),
        (steps, quorum) => {
          const collector = new Collector<number>(peers, quorum);
          const voted = new Set<PeerId>();
          const refused = new Set<PeerId>();
          for (const [kind, peer] of steps) {
            if (kind === 'vote') collector.vote(peer, 1);
            else if (kind === 'refuse') collector.refuse(peer);
            else collector.retract(peer);
            if (!peers.includes(peer)) continue;
            if (kind === 'vote') {
              voted.add(peer);
              refused.delete(peer);
            } else if (kind === 'refuse') {
              if (!voted.has(peer)) refused.add(peer);
            } else voted.delete(peer);
          }
          const expected =
            voted.size >= quorum
              ? 'reached'
              : peers.length - refused.size >= quorum
                ? 'pending'
                : 'impossible';
          expect(collector.tally).toBe(expected);
        },
      ),
    );
  });
});

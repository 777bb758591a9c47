import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byzantineAcceptance, type Judgement, type Reply } from './acceptance.ts';

function reply(
  from: number,
  options: Partial<Omit<Reply, 'digest'>> & { digest?: number } = {},
): Reply {
  const { digest = 1, ...others } = options;
  return {
    from,
    view: 0,
    sequence: 5,
    isTentative: false,
    outcome: 0,
    ...others,
    digest: new Uint8Array(32).fill(digest),
  };
}

const rule = byzantineAcceptance(1);
const kindOf = ({ kind }: Judgement): string => kind;
const tentative = { isTentative: true };

describe('what a client of a Byzantine group believes', () => {
  it('is one more equal reply for good than members may lie', () => {
    expect(kindOf(rule.ordered([reply(0)]))).toBe('open');
    expect(kindOf(rule.ordered([reply(0), reply(1, { view: 3 })]))).toBe('accepted');
    expect(kindOf(rule.ordered([reply(0), reply(1, { digest: 2 })]))).toBe('open');
    expect(kindOf(rule.ordered([reply(0), reply(1, { outcome: 1 })]))).toBe('open');
  });

  it('is never that members cannot read now, however many say so', () => {
    const none = (from: number): Reply => reply(from, { outcome: 3 });
    expect(kindOf(rule.query([none(0)]))).toBe('open');
    expect(kindOf(rule.query([none(0), reply(1), reply(2), reply(3)]))).toBe('accepted');
    expect(kindOf(rule.query([none(0), none(1)]))).toBe('impossible');
    expect(kindOf(rule.query([none(0), none(1), none(2)]))).toBe('impossible');
  });

  it('is a quorum of equal tentative replies for one batch in one view', () => {
    const two = [reply(0, tentative), reply(1, tentative)];
    expect(kindOf(rule.ordered(two))).toBe('open');
    expect(kindOf(rule.ordered([...two, reply(2, tentative)]))).toBe('accepted');
    expect(kindOf(rule.ordered([...two, reply(2, { ...tentative, view: 1 })]))).toBe('open');
    expect(kindOf(rule.ordered([...two, reply(2, { ...tentative, sequence: 6 })]))).toBe('open');
    expect(kindOf(rule.ordered([...two, reply(2, { ...tentative, digest: 2 })]))).toBe('open');
    // One for good counts with the tentative ones if it is for the same batch in the same view.
    expect(kindOf(rule.ordered([...two, reply(2)]))).toBe('accepted');
    expect(kindOf(rule.ordered([...two, reply(2, { view: 1 })]))).toBe('open');
  });

  it.each([1, 2, 3])('never mixes tentative replies for different batches, f = %i', (faults) => {
    const acceptance = byzantineAcceptance(faults);
    const others = [{ view: 1 }, { sequence: 6 }, { view: 1, sequence: 6 }];
    for (const other of others) {
      // All answer alike; one fewer than a quorum of them for the one batch, the rest for the other.
      const replies = Array.from({ length: 3 * faults + 1 }, (_, i) =>
        reply(i, i < 2 * faults ? tentative : { ...tentative, ...other }),
      );
      expect(kindOf(acceptance.ordered(replies))).toBe('open');
      const agreeing = replies.with(2 * faults, reply(2 * faults, tentative));
      expect(kindOf(acceptance.ordered(agreeing))).toBe('accepted');
    }
  });

  it('of reads in one round is a quorum of equal ones, and it knows when there will be none', () => {
    expect(kindOf(rule.query([reply(0), reply(1)]))).toBe('open');
    expect(kindOf(rule.query([reply(0), reply(1), reply(2, { view: 4, sequence: 1 })]))).toBe(
      'accepted',
    );
    expect(kindOf(rule.query([reply(0), reply(1), reply(2, { digest: 2 })]))).toBe('open');
    expect(kindOf(rule.query([reply(0), reply(1, { digest: 2 }), reply(2, { digest: 3 })]))).toBe(
      'impossible',
    );
    const split = [reply(0), reply(1), reply(2, { digest: 2 }), reply(3, { digest: 2 })];
    expect(kindOf(rule.query(split))).toBe('impossible');
  });

  it('is never what only liars say, and is found when the correct ones agree', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.record({ digest: fc.integer({ min: 2, max: 3 }), isTentative: fc.boolean() }), {
          maxLength: 3,
        }),
        fc.boolean(),
        (faults, lies, areTentative) => {
          const acceptance = byzantineAcceptance(faults);
          const liars = lies.slice(0, faults).map((lie, i) => reply(i, lie));
          expect(kindOf(acceptance.ordered(liars))).toBe('open');
          expect(acceptance.query(liars).kind).not.toBe('accepted');
          const correct = Array.from({ length: 2 * faults + 1 }, (_, i) =>
            reply(faults + i, { isTentative: areTentative }),
          );
          const judgement = acceptance.ordered([...liars, ...correct]);
          expect(judgement.kind === 'accepted' && judgement.reply.digest[0]).toBe(1);
          expect(kindOf(acceptance.query([...liars, ...correct]))).toBe('accepted');
        },
      ),
    );
  });

  it('skips no number that was used, and lets no liar spend them all', () => {
    expect(rule.lastNumber([5, 9])).toBeUndefined();
    // One correct member has seen 9; the other one is behind.
    expect(rule.lastNumber([0, 5, 9])).toBe(9);
    expect(rule.lastNumber([5, 9, Number.MAX_SAFE_INTEGER])).toBe(9 + 2 ** 32);
  });
});

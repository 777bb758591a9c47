import { describe, expect, it } from 'vitest';
import type { PeerId } from '../base/brand.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Member } from '../configuration/configuration.ts';
import { QuorumUnavailable, type Unanswered } from '../quorum/calls/contract.ts';
import { failureOf, uncertainWrite } from './failures.ts';
import { closedError } from './interruption.ts';

const server = (port: number): Member => ({
  index: port,
  id: new Uint8Array(32).fill(port),
  peer: `${port}` as PeerId,
  host: 'h',
  port,
});

function told(
  kind: QuorumUnavailable['kind'],
  whys: readonly Unanswered['why'][],
  ended?: AbortSignal,
): HoldfastError {
  const unanswered = whys.map((why, at) => ({ from: server(at + 1), why }));
  const failure = failureOf(new QuorumUnavailable(kind, 1, 3, unanswered), {
    action: 'storing a block',
    timeoutMs: 30_000,
    trouble: () => undefined,
    ended,
  });
  return failure instanceof HoldfastError ? failure : expect.fail('no error for people');
}

describe('a failure for lack of answers', () => {
  it('begins with the reason that a user can do something about', () => {
    const refused = told('refused', ['over-quota', 'over-quota']);
    expect(refused.code).toBe('over-limit');
    expect(refused.message).toBe(
      'storing a block failed: the quota of this client is used up at h:1, h:2',
    );
    expect(told('refused', ['overloaded', 'disk-full']).message).toBe(
      'storing a block failed: there is no disk space left at h:2; also h:1 (is overloaded)',
    );
  });

  it('names who did not answer in time', () => {
    const late = told('timeout', ['silent', 'silent']);
    expect(late.code).toBe('unavailable');
    expect(late.message).toBe(
      'storing a block failed: 1 of the 3 servers needed have answered within 30 s. Without: h:1 (no answer in time), h:2 (no answer in time)',
    );
  });

  it('is an interruption when a signal ended it, whatever its reason', () => {
    const bare = told('timeout', ['silent'], AbortSignal.abort());
    expect(bare).toMatchObject({
      code: 'interrupted',
      message: "storing a block was ended by the caller's signal",
    });
    const late = AbortSignal.abort(new DOMException('late', 'TimeoutError'));
    expect(told('timeout', ['silent'], late)).toMatchObject({
      code: 'interrupted',
      cure: expect.stringContaining('more time'),
    });
    expect(told('timeout', ['silent'], AbortSignal.abort(closedError())).message).toBe(
      'the client is closed',
    );
  });
});

describe('a write that failed', () => {
  it('may have happened, unless it never began', () => {
    for (const error of [
      told('timeout', ['silent']),
      told('refused', ['over-quota', 'over-quota']),
      told('timeout', ['silent'], AbortSignal.abort()),
    ]) {
      const shown = uncertainWrite(error);
      expect(shown).toMatchObject({ code: error.code, message: error.message });
      expect(shown).toMatchObject({ cure: expect.stringMatching(/^The write may have happened/) });
    }
    const usage = new HoldfastError('usage', 'no');
    expect(uncertainWrite(usage)).toBe(usage);
  });
});

// Turns what goes wrong below into errors for people: which servers did not answer, what that means, what to do.

import type { PeerId } from '../base/brand.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Member } from '../configuration/configuration.ts';
import { OperationAborted, OperationHalted } from '../dbqs/client.ts';
import { QuorumUnavailable, type Unanswered } from '../quorum/calls/contract.ts';
import { CounterExhausted } from '../registers/register.ts';

/** Why a server cannot be reached, as far as this client knows; undefined when the link looks well. */
export type LinkTrouble = (peer: PeerId) => string | undefined;

export interface FailureContext {
  /** What was being done: "storing a block". */
  readonly action: string;
  readonly timeoutMs: number;
  readonly trouble: LinkTrouble;
  /** The caller's own signal, to tell its abort from a deadline. */
  readonly signal: AbortSignal | undefined;
}

export function endpointOf({ host, port }: { host: string; port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

const reasons: Readonly<Record<Unanswered['why'], string>> = {
  silent: 'no answer in time',
  invalid: 'answered with something that is not valid',
  incomplete: 'showed a version and did not deliver it',
  'not-certified': 'does not accept this client',
  'wrong-system': 'belongs to another system',
  'not-responsible': 'says that it does not hold this',
  'too-large': 'finds it too large',
  'over-quota': 'says that the quota of this client is used up',
  'not-held': 'does not have it',
  repairing: 'is repairing its copy',
  overloaded: 'is overloaded',
  'disk-full': 'has no disk space left',
  'disk-failing': 'has a failing disk',
};

/** The error to show for `error`; errors that are for people already come back as they are. */
export function failureOf(error: unknown, context: FailureContext): unknown {
  if (error instanceof QuorumUnavailable) return unavailable(error, context);
  if (error instanceof CounterExhausted) {
    return new HoldfastError('over-limit', 'this object has no version numbers left', {
      cure: 'Someone with its key has used the highest one. Write under another name.',
      cause: error,
    });
  }
  if (error instanceof OperationHalted || error instanceof OperationAborted) {
    return new HoldfastError(
      'unavailable',
      `${context.action} was interrupted by a change of the system`,
      {
        cure: 'Try again.',
        cause: error,
      },
    );
  }
  return error;
}

function unavailable(error: QuorumUnavailable, context: FailureContext): HoldfastError {
  if (error.kind === 'timeout' && context.signal?.aborted === true) {
    return new HoldfastError('interrupted', `${context.action} was interrupted`, { cause: error });
  }
  const servers = error.unanswered.map((unanswered) => ({
    server: endpointOf(unanswered.from),
    why: whyOf(unanswered, context.trouble),
  }));
  const list = servers.map(({ server, why }) => `${server} (${why})`).join(', ');
  const when = error.kind === 'timeout' ? ` within ${context.timeoutMs / 1000} s` : '';
  const message = `${context.action} failed: ${error.answered} of the ${error.needed} servers needed have answered${when}. Without: ${list}`;
  const common = commonReason(error.unanswered);
  return new HoldfastError(common.code, message, {
    cure: common.cure,
    details: { answered: error.answered, needed: error.needed, unanswered: servers },
    cause: error,
  });
}

function whyOf(
  { from, why }: { from: Member; why: Unanswered['why'] },
  trouble: LinkTrouble,
): string {
  return (why === 'silent' ? trouble(from.peer) : undefined) ?? reasons[why];
}

function commonReason(unanswered: readonly Unanswered[]): {
  code: 'unavailable' | 'over-limit' | 'not-permitted';
  cure: string;
} {
  const has = (why: Unanswered['why']): boolean => unanswered.some((one) => one.why === why);
  if (has('over-quota')) {
    return {
      code: 'over-limit',
      cure: 'Ask the operator for a larger quota: a client certificate with one, or quota.client in server.toml.',
    };
  }
  if (has('not-certified')) {
    return { code: 'not-permitted', cure: 'Have the authority of this system admit this client.' };
  }
  if (has('disk-full')) {
    return { code: 'unavailable', cure: 'Free disk space on the servers named, or add servers.' };
  }
  return {
    code: 'unavailable',
    cure: 'See `holdfast status`; start the servers named or mend the way to them. What was acknowledged before is safe.',
  };
}

// Turns what goes wrong below into errors for people: which servers did not answer, what that means, what to do.

import type { PeerId } from '../base/brand.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Member } from '../configuration/configuration.ts';
import { OperationAborted, OperationHalted } from '../dbqs/client.ts';
import { QuorumUnavailable, type Unanswered } from '../quorum/calls/contract.ts';
import { CounterExhausted } from '../registers/register.ts';
import { interruption } from './interruption.ts';

/** Why a server cannot be reached, as far as this client knows; undefined when the link looks well. */
export type LinkTrouble = (peer: PeerId) => string | undefined;

export interface FailureContext {
  /** What was being done: "storing a block". */
  readonly action: string;
  readonly timeoutMs: number;
  readonly trouble: LinkTrouble;
  /** The signal that ended it from outside, if one did and not its deadline. */
  readonly ended: AbortSignal | undefined;
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
  const { action, ended, trouble } = context;
  if (error.kind === 'timeout' && ended !== undefined) return interruption(ended, action);
  const { answered, needed, unanswered } = error;
  const servers = unanswered.map((one) => ({
    server: endpointOf(one.from),
    why: whyOf(one, trouble),
  }));
  const common = commonReason(unanswered);
  const concerned = unanswered.filter(({ why }) => why === common.why);
  const others = servers.filter((_, at) => unanswered[at]?.why !== common.why);
  const list = others.map(({ server, why }) => `${server} (${why})`).join(', ');
  const parts: string[] = [];
  // The reason comes first: what others did or left undone is beside it.
  if (concerned.length > 0) {
    parts.push(`${common.words} at ${concerned.map(({ from }) => endpointOf(from)).join(', ')}`);
  }
  if (error.kind === 'timeout') {
    const within = `within ${context.timeoutMs / 1000} s`;
    const count = `${answered} of the ${needed} servers needed have answered ${within}`;
    parts.push(list === '' ? count : `${count}. Without: ${list}`);
  } else if (list !== '') {
    parts.push(concerned.length > 0 ? `also ${list}` : `too many servers refuse: ${list}`);
  }
  return new HoldfastError(common.code, `${action} failed: ${parts.join('; ')}`, {
    cure: common.cure,
    details: { answered, needed, unanswered: servers },
    cause: error,
  });
}

/**
 * The error of a write of which nobody can say what became: some servers may have it, and the next reader or writer
 * that sees it there finishes it.
 */
export function uncertainWrite(error: unknown): unknown {
  if (!(error instanceof HoldfastError)) return error;
  const isUncertain =
    error.code === 'unavailable' || error.code === 'interrupted' || isRefusedByQuota(error);
  if (!isUncertain) return error;
  const { code, message, cure, details } = error;
  const may = 'The write may have happened or may still happen: do it again to be sure.';
  return new HoldfastError(code, message, {
    cure: cure === undefined ? may : `${may} ${cure}`,
    details,
    cause: error,
  });
}

const isRefusedByQuota = (error: HoldfastError): boolean =>
  error.code === 'over-limit' && error.cause instanceof QuorumUnavailable;

function whyOf(
  { from, why }: { from: Member; why: Unanswered['why'] },
  trouble: LinkTrouble,
): string {
  return (why === 'silent' ? trouble(from.peer) : undefined) ?? reasons[why];
}

interface CommonReason {
  readonly why?: Unanswered['why'];
  /** What holds at the servers concerned. */
  readonly words?: string;
  readonly code: 'unavailable' | 'over-limit' | 'not-permitted';
  readonly cure: string;
}

/** Reasons that a user can do something about, the first that is found first. */
const knownReasons: readonly CommonReason[] = [
  {
    why: 'over-quota',
    words: 'the quota of this client is used up',
    code: 'over-limit',
    cure: 'Ask the operator for a larger quota: a client certificate with one, or quota.client in server.toml.',
  },
  {
    why: 'not-certified',
    words: 'this client is not accepted',
    code: 'not-permitted',
    cure: 'Have the authority of this system admit this client.',
  },
  {
    why: 'disk-full',
    words: 'there is no disk space left',
    code: 'unavailable',
    cure: 'Free disk space on the servers named, or add servers.',
  },
];

function commonReason(unanswered: readonly Unanswered[]): CommonReason {
  const found = knownReasons.find((known) => unanswered.some(({ why }) => why === known.why));
  if (found !== undefined) return found;
  return {
    code: 'unavailable',
    cure: 'See `holdfast status`; start the servers named or mend the way to them. What was acknowledged before is safe.',
  };
}

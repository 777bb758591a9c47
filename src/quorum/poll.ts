// Asks each of some servers by itself and reports what each one said: for status and verification, where every answer
// matters and none of them is a vote.

import type { PeerId } from '../base/brand.ts';
import type { Cancellation } from '../base/cancellation.ts';
import type { Member } from '../configuration/configuration.ts';
import { type Message, type RefusalCode, refusalCodeOf } from '../wire/registry.ts';
import type { Request } from './calls/contract.ts';
import type { Exchange } from './exchange.ts';
import type { Patience } from './patience.ts';

export type PollAnswer<Body> =
  | { readonly said: Body; readonly tookMs: number }
  | { readonly invalid: string }
  | { readonly refused: RefusalCode }
  | { readonly silent: true };

export interface PollOptions<Body> {
  /** One such answer ends the poll. */
  readonly enough?: (answer: PollAnswer<Body>) => boolean;
  /** How long each member is waited for; it is told who answered in time. Absent: until `signal` aborts. */
  readonly patience?: Patience;
}

/**
 * Resolves when nobody is waited for any more, one answer is `enough`, or `signal` aborts; members that have not
 * answered by then are `silent`.
 */
export function poll<Body>(
  exchange: Exchange,
  members: readonly Member[],
  epoch: number,
  request: Request<Body>,
  signal: Cancellation,
  { enough, patience }: PollOptions<Body> = {},
): Promise<Map<PeerId, PollAnswer<Body>>> {
  const { clock, timers } = exchange.env;
  const answers = new Map<PeerId, PollAnswer<Body>>(
    members.map((member) => [member.peer, { silent: true }]),
  );
  const awaited = new Set(answers.keys());
  const startedMs = clock.nowMs();
  return new Promise((resolve) => {
    const end = (): void => {
      for (const limit of limits) limit.cancel();
      conversation.end();
      signal.removeEventListener('abort', end);
      resolve(answers);
    };
    const settle = (peer: PeerId): void => {
      awaited.delete(peer);
      if (awaited.size === 0) end();
    };
    const conversation = exchange.begin((from, message) => {
      const member = members.find((candidate) => candidate.peer === from);
      const earlier = answers.get(from);
      if (member === undefined || earlier === undefined || !('silent' in earlier)) return;
      const answer = judged(message, member, request, clock.nowMs() - startedMs);
      answers.set(from, answer);
      patience?.answered(from);
      if (enough?.(answer) === true) end();
      else settle(from);
    });
    const limits = (patience === undefined ? [] : members).map(({ peer }) =>
      timers.after(patience?.waitMs(peer) ?? 0, () => {
        if (!awaited.has(peer)) return;
        patience?.silent(peer);
        settle(peer);
      }),
    );
    signal.addEventListener('abort', end);
    const context = { instance: exchange.instance, epoch, nonce: conversation.nonce };
    const message = request.encode(context);
    for (const member of members) exchange.send(member, message);
    if (signal.aborted || awaited.size === 0) end();
  });
}

function judged<Body>(
  message: Message,
  member: Member,
  request: Request<Body>,
  tookMs: number,
): PollAnswer<Body> {
  if (message.name === 'refused')
    return { refused: refusalCodeOf(message.value.code) ?? 'invalid' };
  const reply = request.accept(message, member);
  return 'invalid' in reply ? reply : { said: reply.vote, tookMs };
}

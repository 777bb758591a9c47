// Asks each of some servers by itself and reports what each one said: for status and verification, where every answer
// matters and none of them is a vote.

import type { PeerId } from '../base/brand.ts';
import type { Member } from '../configuration/configuration.ts';
import { type Message, type RefusalCode, refusalCodeOf } from '../wire/registry.ts';
import type { Request } from './calls/contract.ts';
import type { Exchange } from './exchange.ts';

export type PollAnswer<Body> =
  | { readonly said: Body; readonly tookMs: number }
  | { readonly invalid: string }
  | { readonly refused: RefusalCode }
  | { readonly silent: true };

/**
 * Resolves when all have answered, one answer is `enough`, or `signal` aborts; members that have not answered by then
 * are `silent`.
 */
export function poll<Body>(
  exchange: Exchange,
  members: readonly Member[],
  epoch: number,
  request: Request<Body>,
  signal: AbortSignal,
  enough: (answer: PollAnswer<Body>) => boolean = () => false,
): Promise<Map<PeerId, PollAnswer<Body>>> {
  const answers = new Map<PeerId, PollAnswer<Body>>(
    members.map((member) => [member.peer, { silent: true }]),
  );
  const startedMs = exchange.env.clock.nowMs();
  return new Promise((resolve) => {
    let missing = members.length;
    const end = (): void => {
      conversation.end();
      signal.removeEventListener('abort', end);
      resolve(answers);
    };
    const conversation = exchange.begin((from, message) => {
      const member = members.find((candidate) => candidate.peer === from);
      const earlier = answers.get(from);
      if (member === undefined || earlier === undefined || !('silent' in earlier)) return;
      const answer = judged(message, member, request, exchange.env.clock.nowMs() - startedMs);
      answers.set(from, answer);
      missing -= 1;
      if (missing === 0 || enough(answer)) end();
    });
    signal.addEventListener('abort', end);
    const context = { instance: exchange.instance, epoch, nonce: conversation.nonce };
    const message = request.encode(context);
    for (const member of members) exchange.send(member, message);
    if (signal.aborted || missing === 0) end();
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

// State transfer (section 5.2), the side that has what another one lacks: entries of its log, or a checkpoint to fetch.

import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import type { Core } from './core.ts';

/** What who asks for a log has use for, as its message says it. */
export const needs = { all: 0, lacking: 1, checkpoint: 2, chosen: 3 } as const;

/** Anybody whose log is of that view has a prefix of the one log of that view. */
export function answerGetState(
  core: Core,
  from: number,
  value: ReplicationMessageValue<'vrGetState'>,
): void {
  const { instance, log, commit, low, active } = core;
  const { nonce, view } = value;
  if (!core.hasLog || core.lastNormal !== view) return core.out.count('vr-not-held');
  // What is known to be committed here may be something else in the asker's log of this view. A log that f+1 votes have
  // chosen has it: of a later view, in which more was committed, there would have been a vote.
  const isChosen = value.needs === needs.chosen;
  if (!isChosen && !core.parts.checkpoints.isInLogOf(view)) return core.out.count('vr-not-held');
  // A witness that is not wanted needs to know just that.
  const isOutside = !core.isDesignated(from) && !active.includes(from);
  const isAll = isChosen || value.needs === needs.all;
  const start = isAll ? value.from : Math.max(value.from, low);
  const offered = core.parts.checkpoints.offered;
  const isStateBetter = value.needs === needs.checkpoint && offered !== undefined;
  const isGone = isStateBetter || start < log.first - 1;
  if (isGone && offered === undefined && !isOutside) return core.out.count('vr-not-held');
  core.out.toReplica(
    from,
    'vrNewState',
    {
      instance,
      nonce,
      view,
      active: [...active],
      sequence: log.last,
      commit,
      low,
      first: start + 1,
      entries: isGone || isOutside ? [] : log.bytesFrom(start + 1),
      checkpoint: isGone && !isOutside && offered !== undefined ? [offered] : [],
    },
    undefined,
  );
}

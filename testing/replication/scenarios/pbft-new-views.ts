// A script for PBFT in which a primary opens its view again and again.

import { ViewChangeSet } from '../../../src/replication/pbft/decision.ts';
import { pbftRules } from '../../../src/replication/pbft/rules.ts';
import { viewChangeDigest } from '../../../src/replication/pbft/statements.ts';
import type { NewViewStatement, ViewChangeStatement } from '../../../src/wire/pbft.ts';
import { lieMaker } from '../lies/lies.ts';
import { altered, type LieContext, type LieMaker, utter } from '../lies/lying-engine.ts';
import { signedNewView } from '../lies/view-changes.ts';
import type { Stage } from '../stage.ts';

/** Another NEW-VIEW of the same view, as right as the first one: it names other VIEW-CHANGEs. */
function otherNewView(
  { group, index }: LieContext,
  first: NewViewStatement,
  held: ReadonlyMap<number, ViewChangeStatement>,
): NewViewStatement | undefined {
  const known = [...held.values()]
    .filter(({ view }) => view === first.view)
    .sort((a, b) => a.replica - b.replica);
  const isAll = known.length === first.viewChanges.length;
  const left = isAll ? known.find(({ replica }) => replica !== index) : undefined;
  const set = known.filter((one) => one !== left);
  if (set.length < 2 * group.faults + 1) return undefined;
  const chosen = new ViewChangeSet(set, group.faults, pbftRules);
  const batches = chosen.choose();
  if (batches === undefined) return undefined;
  const viewChanges = set.map((each) => ({
    replica: each.replica,
    digest: viewChangeDigest(each),
  }));
  return { view: first.view, viewChanges, height: chosen.height, batches };
}

/** As primary, opens its view once more after every write that it has answered; and answers reads with old results. */
export const reopening: LieMaker = (context) => {
  const { group, index } = context;
  const stale = lieMaker('stale')(context);
  const held = new Map<number, ViewChangeStatement>();
  let opened: NewViewStatement | undefined;
  let other: NewViewStatement | undefined;
  return {
    onEvent: (event) => {
      if (event.kind === 'message' && event.message.name === 'viewChange') {
        const { statement } = event.message.value;
        held.set(statement.replica, statement);
      }
      return event;
    },
    onSend: (send, to) => {
      if (send.name === 'viewChange') held.set(send.value.statement.replica, send.value.statement);
      if (send.name === 'newView' && send.value.statement.view % group.members.length === index) {
        opened = send.value.statement;
        other = undefined;
      }
      const isWrite = send.name === 'requestReply' && send.value.kind === 0;
      if (!isWrite || opened === undefined) return stale.onSend?.(send, to);
      const next: NewViewStatement | undefined = other ?? otherNewView(context, opened, held);
      if (next === undefined) return undefined;
      [opened, other] = [next, opened];
      const value = signedNewView(context, next);
      const again = group.members.flatMap((_, i) =>
        i === index
          ? []
          : [{ ...utter({ kind: 'replica', index: i }, 'newView', value), delayMs: 5 }],
      );
      return [altered(send, to), ...again];
    },
  };
};

/**
 * A write is done that most correct members have prepared and not executed. If the view opens once more for them, do they
 * still know, when they are asked for what it replaced?
 */
export async function viewOpenedAgain(stage: Stage): Promise<void> {
  const { faults, group, simulation } = stage;
  const { session } = stage.client('c0');
  await stage.put(session, 'k');
  await stage.get(session, 'k');
  await simulation.runFor(100 + group.prng.below(100));
  // Everyone leaves the first view, its primary too, so that there are more VIEW-CHANGEs than a NEW-VIEW needs.
  const stop = stage.lose(({ name, value }) => name === 'pbftPrepare' && value.view === 0);
  await stage.put(session, 'other');
  stop();
  await simulation.runFor(50 + group.prng.below(100));
  // The first member and the liars learn that it is committed.
  const most = stage.names(1 + faults);
  const heal = stage.cut(stage.names(0), most, 'pbftCommit', 'committed');
  const value = await stage.put(session, 'k');
  await simulation.runFor(10 + group.prng.below(20));
  const { session: reader } = stage.client('c1');
  stage.demand((await stage.get(reader, 'k')) === value, 'a read gave what was replaced');
  heal();
  await stage.work([session], 6);
  await stage.together();
}

// Lies about lost disks: the liar's own, told to some and not to others, and what others said before they lost theirs.

import { newKeyBytes } from '../../../src/replication/pbft/statements.ts';
import type { NewKey, ViewChange } from '../../../src/wire/pbft.ts';
import { altered, type LieMaker, type Utterance, utter } from './lying-engine.ts';
import { signedViewChange } from './view-changes.ts';

/** What others have said is kept, so many of each kind. */
const keptMax = 40;

function everyMember(
  count: number,
  own: number,
  say: (to: number) => Utterance | undefined,
): Utterance[] {
  return Array.from({ length: count }, (_, to) => to).flatMap((to) =>
    to === own ? [] : (say(to) ?? []),
  );
}

/** Has lost its disk, it says, to some; to others it tells of an older loss, or of none. Its VIEW-CHANGEs are of any time. */
const losing: LieMaker = (context) => {
  const { prng, group, index, signer } = context;
  const { instance, members } = group;
  let counter = 0;
  const losses = [0];
  const newKey = (at: number, forgotten: number): NewKey => {
    const stated = { replica: index, counter: at, forgotten };
    return { instance, ...stated, signature: signer.sign(newKeyBytes(instance, stated)) };
  };
  return {
    onTick: () => {
      if (!prng.chance(1, 10)) return [];
      counter += prng.pick([1, 1, 2, 2 ** 19, 2 ** 36]) ?? 1;
      const older = prng.pick(losses) ?? 0;
      losses.push(counter);
      return everyMember(members.length, index, (to) => {
        if (prng.chance(1, 3)) return undefined;
        const said = prng.chance(1, 2) ? newKey(counter, counter) : newKey(older + 1, older);
        return utter({ kind: 'replica', index: to }, 'newKey', said);
      });
    },
    onSend: (send, to) => {
      if (send.name === 'viewChange' && send.value.statement.replica === index) {
        const forgotten = prng.pick(losses) ?? 0;
        const statement = { ...send.value.statement, forgotten };
        return [altered(send, to, signedViewChange(context, statement))];
      }
      // What it is asked for by its own engine's counter, which nobody knows.
      return send.name === 'queryStable' || send.name === 'newKey' ? [] : undefined;
    },
  };
};

/** Hands on what others said before they lost their disks, withholds what they said since, and misinforms who recovers. */
const remembering: LieMaker = ({ prng, group, index }) => {
  const { members } = group;
  const keys: NewKey[] = [];
  const viewChanges: ViewChange[] = [];
  const keep = <T>(kept: T[], each: T): void => {
    kept.push(each);
    if (kept.length > keptMax) kept.splice(prng.below(kept.length), 1);
  };
  return {
    onEvent: (event) => {
      if (event.kind !== 'message') return event;
      const { message } = event;
      if (message.name === 'newKey') keep(keys, message.value);
      if (message.name === 'viewChange') keep(viewChanges, message.value);
      return event;
    },
    onTick: () =>
      everyMember(members.length, index, (index) => {
        const to = { kind: 'replica', index } as const;
        const key = prng.pick(keys);
        if (key !== undefined && prng.chance(1, 4)) return utter(to, 'newKey', key);
        const left = prng.pick(viewChanges);
        if (left === undefined || prng.chance(1, 2)) return undefined;
        return utter(to, 'viewChange', left);
      }),
    onSend: (send, to) => {
      if (send.name === 'newKey' && send.value.replica !== index) {
        const [first] = keys;
        return first === undefined ? [] : [altered(send, to, prng.pick(keys) ?? first)];
      }
      if (send.name !== 'replyStable') return undefined;
      const { value } = send;
      const wrong =
        prng.pick([
          { ...value, checkpoint: 0, prepared: 0, view: 0 },
          { ...value, checkpoint: value.checkpoint + 1000, prepared: value.prepared + 1000 },
          { ...value, prepared: 0 },
          { ...value, view: value.view + 10 ** 6 },
        ]) ?? value;
      return prng.chance(1, 4) ? [] : [altered(send, to, wrong)];
    },
  };
};

export const lostDiskLies = { losing, remembering } as const satisfies Record<string, LieMaker>;

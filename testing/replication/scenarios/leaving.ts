// How a script has views left while clients work.

import type { ReplicaMachine } from '../replica-machine.ts';
import type { Stage } from '../stage.ts';

/** Operations that nobody comes to the end of. */
export const endless = Number.MAX_SAFE_INTEGER;
/** Makes a primary one that is left. */
export interface Trouble {
  /** Call the result to make it like the others again. */
  readonly begin: (stage: Stage, primary: ReplicaMachine) => () => void;
  /** What lasts longer than patience, and shorter than the others can do without it. */
  readonly msMax: number;
}

export const crash: Trouble = {
  begin: (stage, primary) => {
    primary.crash(stage.group.prng.chance(1, 2));
    return () => primary.start();
  },
  msMax: 600,
};

export const hush: Trouble = {
  begin: (stage, { name }) => stage.cut([name], stage.names(0), 'prePrepare'),
  msMax: 2_000,
};

/** Then the next primary has its turn. */
const enterMsMax = 2_000;

/** A primary gets into trouble; the next one has its turn, if that can be. */
export async function leaveView(stage: Stage, trouble: Trouble): Promise<void> {
  const { view, simulation } = stage;
  const undo = trouble.begin(stage, stage.group.primary);
  await simulation.runUntil(() => stage.view > view, trouble.msMax);
  undo();
  await simulation.runUntil(() => isEntered(stage, view + 1), enterMsMax);
}

/** Whether correct members, as many as order something, work in this view or a later one. */
function isEntered({ group, faults }: Stage, view: number): boolean {
  const entered = group.correct.filter(
    ({ status }) => status !== undefined && status.status !== 'view-change' && status.view >= view,
  );
  return entered.length > faults;
}

// The data folder of a member: how it is made, opened, and made anew after its loss.

import { existsSync } from 'node:fs';
import { toHex } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { ed25519 } from '../../crypto/signature.ts';
import type { Disk } from '../../env/disk.ts';
import { type Log, silentLog } from '../../env/log.ts';
import { systemClock } from '../../node/clock.ts';
import {
  createDataFolder,
  type DataFolder,
  type DataFolderOwner,
  moveAside,
  openDataFolder,
} from '../../node/data-folder.ts';
import { openDisk } from '../../node/disk.ts';
import { systemEntropy } from '../../node/entropy.ts';
import type { TableDamage } from '../../node/table-format.ts';
import type { Restored } from '../../replication/contract.ts';
import { savedEnding as savedPbftEnding } from '../../replication/pbft/index.ts';
import { createReplica, type NewReplica, ReplicaDisk } from '../../replication/replica-disk.ts';
import { savedEnding as savedVrEnding } from '../../replication/vr/ending.ts';
import { reasonOf } from '../local-errors.ts';
import { checkFolder, checkGroup, isPbftGroup, withoutAccess } from './arguments.ts';
import { type Ending, inheritedPages } from './ending.ts';
import type { PlacedGroup } from './group.ts';
import { renewTable } from './lost-table.ts';

/**
 * Makes the data folder of a member, once, when the group is created. A replica never starts on a folder that was not
 * made for it: a wiped one has forgotten what the member promised. A member that has ever run must not get another folder
 * by this: only what it has signed could tell it from one that has promised nothing. See `recoverReplicaFolder`.
 * @param begins what a group with `genesis` begins with. Members that get none fetch it from those that got it, of whom there must be
 * `2f+1` in PBFT and `f+1` in Viewstamped Replication.
 * @throws HoldfastError `data-folder` when the folder holds something or cannot be made, `bad-configuration` for an ending that is not the one which the
 * group names, `verification-failed` if the pages are not what it says.
 */
export async function createReplicaFolder(
  folder: string,
  group: PlacedGroup,
  index: number,
  begins?: Pick<Ending, 'root' | 'pages'>,
): Promise<void> {
  checkGroup(group);
  checkFolder(folder);
  const pages = begins && inheritedPages(group, begins);
  await makeFolder(folder, group, index, { pages });
}

/** Why no folder can be made: where one is already, emptying it may be the wrong thing to do. */
async function notMade(
  error: unknown,
  folder: string,
  group: PlacedGroup,
  index: number,
): Promise<unknown> {
  if (!(error instanceof HoldfastError)) return withoutAccess(error, folder);
  try {
    await checkFormatIsOwn(folder, group, index);
  } catch (reason) {
    return reason;
  }
  return new HoldfastError(error.code, error.message, {
    cure: 'It is the folder of this member already: start the member on it, or, if it was made in vain and never started, delete it.',
    details: error.details,
  });
}

/**
 * Makes the data folder of a PBFT member that has lost its own: wiped, or with a damaged journal. What is in the folder is
 * put into a subfolder `damaged-<n>`. The member has forgotten what it promised and counts as one of the `f` faulty ones;
 * started on this folder it votes for nothing and only learns, `status` says `recovering`, until all that it may have
 * promised is over, for which the other `3f` members but those that are faulty must run. A folder on which the
 * member can start is refused: it would throw its promises away for nothing, and when more than `f` members have done so at a
 * time nobody can answer them any more.
 * @returns the subfolder, or undefined when there was nothing to move.
 * @throws HoldfastError `data-folder` when the folder is whole (`details.whole` is true), in use, another member's or holds other things; `bad-configuration` for a group of Viewstamped Replication,
 * which counts such a member as failed for good.
 */
export async function recoverReplicaFolder(
  folder: string,
  group: PlacedGroup,
  index: number,
): Promise<string | undefined> {
  checkGroup(group);
  checkFolder(folder);
  if (!isPbftGroup(group)) {
    throw new HoldfastError(
      'bad-configuration',
      'Viewstamped Replication has no recovery from a lost disk: what this member acknowledged may be lost with it',
      { cure: newGroupCure },
    );
  }
  await checkIsOwn(folder, group, index);
  if (await isWhole(folder, group, index)) throw notLost(folder);
  const aside = await moveAside(folder);
  await makeFolder(folder, group, index, { isDiskLost: true });
  return aside;
}

/** Whether what is in the folder, if anything, may be put aside: nothing of another member's, and nothing else. */
async function checkIsOwn(folder: string, group: PlacedGroup, index: number): Promise<void> {
  try {
    await checkFormatIsOwn(folder, group, index);
  } catch (error) {
    if (!isLost(error)) throw error;
  }
}

/** Whether the member can start on the folder, which is its own. */
async function isWhole(folder: string, group: PlacedGroup, index: number): Promise<boolean> {
  try {
    const { disk, close } = await openFolder(folder, group, index, silentLog);
    try {
      if (ReplicaDisk.hasStarted(disk, group, index)) await ReplicaDisk.open(disk, group, index);
    } finally {
      await close();
    }
    return true;
  } catch (error) {
    // Anything else may pass, and says nothing of what is in it.
    if (isLost(error)) return false;
    throw error;
  }
}

function notLost(folder: string): HoldfastError {
  return new HoldfastError(
    'data-folder',
    `the data folder ${folder} is whole: this member has not lost it`,
    {
      cure: 'Start the member on it: it fetches by itself what it lacks. If it is not to be trusted (an older copy was put back, say), move it away first: the member then begins anew.',
      details: { whole: true },
    },
  );
}

/** Whether the folder says that it is this member's, and nobody else works in it. */
async function checkFormatIsOwn(folder: string, group: PlacedGroup, index: number): Promise<void> {
  const held = await openDataFolder(folder, ownerOf(group, index));
  await held.release();
}

function isLost(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && error.details.lost === true;
}

/**
 * The state with which an instance ended, from the folder of a member that is not running.
 * @throws HoldfastError `data-folder` when the folder is in use (`details.pid` is the process), or not that member's; `not-found` unless it holds the final state, whole.
 */
export async function readEnding(
  folder: string,
  group: PlacedGroup,
  index: number,
): Promise<Ending> {
  checkGroup(group);
  checkFolder(folder);
  const { disk, close } = await openFolder(folder, group, index, silentLog).catch(
    (error: unknown) => {
      const isHeld = error instanceof HoldfastError && error.details.pid !== undefined;
      if (!isHeld && !isLost(error)) throw error;
      throw new HoldfastError(error.code, error.message, {
        cure: isHeld
          ? 'If that process is this member, take `ending()` of it, or stop it first. Otherwise wait until it is done.'
          : 'Take the folder of another member, or `ending()` of one that runs. If the folder is elsewhere, correct the path.',
        details: error.details,
        cause: error,
      });
    },
  );
  try {
    const ending = ReplicaDisk.hasStarted(disk, group, index)
      ? endingOf((await ReplicaDisk.open(disk, group, index)).restored, group)
      : undefined;
    if (ending !== undefined) return ending;
  } finally {
    await close();
  }
  throw new HoldfastError('not-found', `${folder} holds no final state of the instance`, {
    cure: 'Take the folder of another member, or start this one: when its status is `final` it is there.',
  });
}

function endingOf(restored: Restored | undefined, group: PlacedGroup): Ending | undefined {
  if (restored === undefined) return undefined;
  return isPbftGroup(group) ? savedPbftEnding(restored, group, ed25519) : savedVrEnding(restored);
}

async function makeFolder(
  folder: string,
  group: PlacedGroup,
  index: number,
  past: NewReplica,
): Promise<void> {
  const owner = ownerOf(group, index);
  await createDataFolder(folder, owner).catch(async (error: unknown) => {
    throw await notMade(error, folder, group, index);
  });
  const { disk, close } = await openFolder(folder, group, index, silentLog);
  try {
    await createReplica(disk, group, index, past);
  } finally {
    await close();
  }
}

/** What the disk says of itself, with what to do about it here. */
export function curable(error: unknown, group: PlacedGroup, folder: string | undefined): unknown {
  if (!isLost(error)) return error;
  const message = `the data folder ${folder ?? ''} cannot be used: ${error.message}`;
  return new HoldfastError(error.code, message, {
    cure: lostCureOf(group),
    details: error.details,
    cause: error,
  });
}

/** A member that has forgotten its promises must not take part: others take them for kept. */
const newGroupCure =
  'If this member ran before, it must not come back to this group: what it has promised to the others is lost. End the instance, and go on with its state in another group, in which this member too may have a new folder: see "The end, and the next group" in docs/REPLICATION.md. If the folder is elsewhere, correct the path.';
const recoverCure =
  'If this member ran before, call `recoverReplicaFolder` once and start it: it then learns from the others, and votes when all that it may have promised is over. If the folder is elsewhere, correct the path.';

function lostCureOf(group: PlacedGroup): string {
  return isPbftGroup(group) ? recoverCure : newGroupCure;
}

const unmadeCure =
  'If this member has never run in this group, make its folder with `createReplicaFolder`.';

function ownerOf(group: PlacedGroup, index: number): DataFolderOwner {
  const key = group.members[index];
  if (key === undefined) {
    throw new HoldfastError('bad-configuration', `there is no member ${index}`, {
      cure: `Give the index of a member: this group has 0 … ${group.members.length - 1}.`,
    });
  }
  const words = {
    owner: 'member',
    whole: 'group',
    lostCure: lostCureOf(group),
    absentCure: `${unmadeCure} ${lostCureOf(group)}`,
    otherCure:
      'Correct the path of the data folder, the seed or index of the member, or the description of the group (that of the group before the last hand-over, say): every member of every group has a folder of its own.',
    heldCure:
      'If that process is this member, it runs already. Otherwise stop it first: a member has one folder, and runs once.',
  };
  return { serverId: toHex(key), systemId: toHex(group.instance), words };
}

/** Of the table's file: its journal is looked at next, and decides. */
const tableDamages: ReadonlySet<string> = new Set<TableDamage>([
  'table-missing',
  'table-unreadable',
]);

export async function openFolder(
  path: string,
  group: PlacedGroup,
  index: number,
  log: Log,
): Promise<{ disk: Disk; close(): Promise<void> }> {
  const folder = await openDataFolder(path, ownerOf(group, index));
  const disk = await diskOf(path, folder, group, index, log).catch(async (error: unknown) => {
    await folder.release();
    throw error;
  });
  return {
    disk,
    async close() {
      await disk.journal.close();
      await disk.table.close();
      await folder.release();
    },
  };
}

async function diskOf(
  path: string,
  folder: DataFolder,
  group: PlacedGroup,
  index: number,
  log: Log,
): Promise<Disk> {
  const options = { clock: systemClock, entropy: systemEntropy };
  const lostCure = lostCureOf(group);
  const damaged = (what: string): HoldfastError =>
    new HoldfastError('data-folder', `the data folder ${path} is damaged: ${what}`, {
      cure: lostCure,
      details: { lost: true },
    });
  if (!existsSync(folder.journalFolder)) throw damaged(`${folder.journalFolder} is missing`);
  try {
    let opening = openDisk(folder, options);
    if (opening.kind === 'damaged' && tableDamages.has(opening.damage.reason)) {
      const { reason } = opening.damage;
      const aside = await renewTable(folder, group, index);
      log.warn('replica-table-lost', { reason, aside });
      opening = openDisk(folder, options);
    }
    if (opening.kind === 'open') return opening.disk;
    const { file, reason } = opening.damage;
    throw damaged(`${file} (${reason})`);
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause;
    // Neither damage nor sound: a folder without access, a full disk, a bad one.
    throw new HoldfastError(
      'data-folder',
      `the data folder ${path} cannot be opened: ${reasonOf(cause)}`,
      {
        cure: `See that this user may read and write all of it and that the disk has room. If it stays unreadable, move it away. ${lostCure}`,
        cause,
      },
    );
  }
}

// Puts what the servers say into the reports that users read.

import type { PeerId } from '../base/brand.ts';
import { textOf, toHex } from '../base/bytes.ts';
import type { Configuration, Member } from '../configuration/configuration.ts';
import type { StatusReport } from '../dbqs/requests.ts';
import type { PollAnswer } from '../quorum/poll.ts';
import { serverStates } from '../server/assemble.ts';
import { shortIdLength } from '../server/system-info.ts';
import type { ServerReport, SystemStatus } from './contract.ts';
import type { LinkTrouble } from './failures.ts';

/** The short name of a server, the same everywhere: the first digits of its id. */
export function nameOf(member: Member): string {
  return toHex(member.id).slice(0, shortIdLength);
}

const collator = new Intl.Collator('en', { numeric: true });

/** In the order in which people count their machines: by host, then by port. */
export function byAddress(
  a: { readonly host: string; readonly port: number },
  b: { readonly host: string; readonly port: number },
): number {
  return collator.compare(a.host, b.host) || a.port - b.port;
}

export function statusReport(
  configuration: Configuration,
  answers: ReadonlyMap<PeerId, PollAnswer<StatusReport>>,
  trouble: LinkTrouble,
): SystemStatus {
  const servers = configuration.members.map((member) =>
    serverReport(member, answers.get(member.peer), trouble),
  );
  const ordered = servers.toSorted(byAddress);
  const moreFailures = tolerance(configuration, servers);
  return {
    system: toHex(configuration.system),
    epoch: configuration.epoch,
    faults: configuration.faults,
    moreFailures,
    summary: inWords(configuration, servers, moreFailures),
    servers: ordered,
  };
}

function serverReport(
  member: Member,
  answer: PollAnswer<StatusReport> | undefined,
  trouble: LinkTrouble,
): ServerReport {
  const { host, port } = member;
  const common = { name: nameOf(member), id: toHex(member.id), host, port };
  if (answer === undefined || !('said' in answer)) {
    return { ...common, state: 'unreachable', reason: whySilent(answer, trouble(member.peer)) };
  }
  const { said, tookMs } = answer;
  // A server may say what it likes; it must not steer anybody's terminal.
  const software = textOf(said.software)?.replace(/[\p{Cc}\p{Cf}]/gu, '');
  return {
    ...common,
    state: said.state === serverStates.serving ? 'serving' : 'recovering',
    epoch: said.epoch,
    roundTripMs: Math.round(tookMs * 100) / 100,
    ...(software === undefined ? {} : { software }),
    uptimeMs: said.uptimeMs,
    objects: said.objects,
    blocks: said.blocks,
    storedSizeBytes: said.storedSizeBytes,
    diskFreeBytes: said.diskFreeBytes,
    journalSizeBytes: said.journalSizeBytes,
    damagedFound: said.damagedFound,
    repaired: said.repaired,
    repairsWaiting: said.repairsWaiting,
    lagItems: said.lagItems,
    scrubPasses: said.scrubPasses,
  };
}

function whySilent(
  answer: PollAnswer<StatusReport> | undefined,
  trouble: string | undefined,
): string {
  if (answer === undefined || 'silent' in answer) return trouble ?? 'no answer in time';
  if ('refused' in answer) return `refused: ${answer.refused}`;
  if ('invalid' in answer) return `answered with something that is not valid: ${answer.invalid}`;
  return 'no answer in time';
}

/** Failures that the weakest group still survives; negative where a group has lost its quorum. */
function tolerance(configuration: Configuration, servers: readonly ServerReport[]): number {
  const up = new Set(
    configuration.members
      .filter((member) => servers[member.index]?.state === 'serving')
      .map((member) => member.peer),
  );
  const quorum = 2 * configuration.faults + 1;
  let least = configuration.faults;
  for (const member of configuration.members) {
    for (const group of configuration.groupsOf(member.peer)) {
      const alive = group.members.filter((one) => up.has(one.peer)).length;
      least = Math.min(least, alive - quorum);
    }
  }
  return least;
}

function inWords(
  configuration: Configuration,
  servers: readonly ServerReport[],
  more: number,
): string {
  const away = servers.filter((server) => server.state !== 'serving').length;
  const state =
    away === 0 ? 'All servers are up' : `${away} of ${servers.length} servers not serving`;
  if (more > 0)
    return `${state}; the system survives ${more} more ${more === 1 ? 'failure' : 'failures'}.`;
  if (more === 0) {
    return `${state}; everything works, but one more failure puts data out of reach until it is mended.`;
  }
  return `${state}; more than the ${configuration.faults} that each group tolerates: some data cannot be read or written until servers return.`;
}

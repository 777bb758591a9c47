// status and verify: how the system and one thing in it are doing.

import { formatDuration, formatSize } from '../../base/duration.ts';
import { HoldfastError } from '../../base/errors.ts';
import { addressIn } from '../../client/arguments.ts';
import type {
  ReplicaFinding,
  ServerReport,
  SystemStatus,
  VerifyReport,
} from '../../client/contract.ts';
import { formatEndpoint } from '../../server/system-info.ts';
import type { Context, GlobalOptions } from '../context.ts';
import { table } from '../output.ts';
import { startProgress } from '../progress.ts';
import { withClient } from '../session.ts';

const unknown = '–';

function stateOf(server: ServerReport): string {
  return server.reason === undefined ? server.state : `${server.state}: ${server.reason}`;
}

function serverRow(server: ServerReport): string[] {
  const shown = <Value>(value: Value | undefined, format: (value: Value) => string): string =>
    value === undefined ? unknown : format(value);
  return [
    server.name,
    formatEndpoint(server.host, server.port),
    shown(server.roundTripMs, (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)}ms`),
    shown(server.uptimeMs, formatDuration),
    shown(server.epoch, String),
    shown(server.objects, String),
    shown(server.blocks, String),
    shown(server.storedSizeBytes, formatSize),
    shown(server.diskFreeBytes, formatSize),
    shown(server.lagItems, String),
    shown(server.repairsWaiting, String),
    stateOf(server),
  ];
}

/** What `holdfast status` prints: first in words what the system survives, then each server. */
export function formatStatus(status: SystemStatus): string {
  const head = [
    'server',
    'address',
    'answers in',
    'up',
    'epoch',
    'objects',
    'blocks',
    'stored',
    'free',
    'lag',
    'to repair',
    'state',
  ];
  return [
    status.summary,
    `System ${status.system}, epoch ${status.epoch}, made for ${status.faults} faulty of each ${3 * status.faults + 1} servers.`,
    '',
    table(head, status.servers.map(serverRow)),
  ].join('\n');
}

export async function status(context: Context, options: GlobalOptions): Promise<void> {
  await withClient(context, options, async ({ client, printer, signal }) => {
    const report = await client.status({ signal });
    printer.answer(report, formatStatus(report));
    if (report.moreFailures >= 0) return;
    throw new HoldfastError('unavailable', 'some data is out of reach now', {
      cure: 'Start or repair the servers above that do not serve.',
    });
  });
}

const findingWords: Readonly<Record<ReplicaFinding, string>> = {
  holds: 'held',
  stale: 'stale',
  missing: 'missing',
  lying: 'false',
  repairing: 'being repaired',
  silent: 'no answer',
};

/** What `holdfast verify` prints. */
export function formatVerification(report: VerifyReport): string {
  const findings = Object.keys(findingWords) as ReplicaFinding[];
  const seen = findings.filter((finding) =>
    report.servers.some((server) => (server.findings[finding] ?? 0) > 0),
  );
  const rows = report.servers.map((server) => [
    server.name,
    formatEndpoint(server.host, server.port),
    ...seen.map((finding) => String(server.findings[finding] ?? 0)),
  ]);
  const verdict = report.intact
    ? 'Intact: every server that should hold it holds all of it.'
    : report.readable
      ? 'Readable, but not every server holds all of it.'
      : 'Not readable now.';
  const head = ['server', 'address', ...seen.map((finding) => findingWords[finding])];
  const examples = report.servers.flatMap((server) =>
    server.examples.map((example) => `${server.name}: ${example}`),
  );
  return [
    verdict,
    `${report.address}, ${report.items} ${report.items === 1 ? 'item' : 'items'}.`,
    '',
    table(head, rows),
    ...(examples.length === 0 ? [] : ['', ...examples]),
  ].join('\n');
}

/** The servers of which at least one item was found so. */
function endpointsWith(report: VerifyReport, finding: ReplicaFinding): string {
  return report.servers
    .filter(({ findings }) => (findings[finding] ?? 0) > 0)
    .map(({ host, port }) => formatEndpoint(host, port))
    .join(', ');
}

/** What to do about a thing that is not whole everywhere. */
export function verificationCure(report: VerifyReport): string {
  const [silent, lying] = [endpointsWith(report, 'silent'), endpointsWith(report, 'lying')];
  const parts: string[] = [];
  if (silent !== '') {
    parts.push(`Start ${silent} or mend the way there, then verify again.`);
  }
  if (lying !== '') {
    parts.push(`Do not trust ${lying}, which gave false answers: look at that machine.`);
  }
  const isRepaired = (['stale', 'missing', 'repairing'] as const).some(
    (finding) => endpointsWith(report, finding) !== '',
  );
  if (isRepaired && report.readable) {
    parts.push(
      'Servers repair what they miss by themselves; "holdfast status" shows what waits. Verify again later.',
    );
  }
  return parts.join(' ') || 'Verify again; "holdfast status" shows how the servers are.';
}

export async function verify(
  context: Context,
  options: GlobalOptions & { readonly key?: string },
  name: string,
): Promise<void> {
  addressIn(name);
  await withClient(context, options, async ({ client, printer, signal }) => {
    const progress = startProgress(context, options, name);
    const { onProgress } = progress;
    const report = await client.verify(name, { onProgress, signal }).finally(() => progress.stop());
    printer.answer(report, formatVerification(report));
    if (report.intact) return;
    const cure = verificationCure(report);
    throw report.readable
      ? new HoldfastError('verification-failed', `not every server holds all of ${name}`, { cure })
      : new HoldfastError('unavailable', `${name} cannot be read now`, { cure });
  });
}

// evidence: checks what a replica has kept of others' provable faults, offline.

import { resolve } from 'node:path';
import { HoldfastError } from '../../base/errors.ts';
import { checkEvidenceFile } from '../../server/replication/evidence-file.ts';
import type { Context, GlobalOptions } from '../context.ts';
import { Printer, table } from '../output.ts';

export function evidence(context: Context, options: GlobalOptions, file: string): void {
  const printer = new Printer(context, options);
  const { records, badLines } = checkEvidenceFile(resolve(context.folder, file));
  const rows = records.map(({ line, code, accused, instance, isProved }) => [
    String(line),
    isProved ? 'proved' : 'not proved',
    code,
    accused,
    instance.slice(0, 16),
  ]);
  const words =
    records.length === 0
      ? 'There is no evidence.'
      : table(['line', 'verdict', 'what', 'accused key', 'group'], rows);
  printer.answer({ records, badLines }, words);
  const failed = records.filter(({ isProved }) => !isProved).map(({ line }) => line);
  const faults = [
    ...(failed.length > 0 ? [`not proved: line ${failed.join(', ')} of ${file}`] : []),
    ...(badLines.length > 0 ? [`no record: line ${badLines.join(', ')} of ${file}`] : []),
  ];
  if (faults.length === 0) return;
  throw new HoldfastError(
    'verification-failed',
    `${faults.join('; ')}. What stands there accuses nobody.`,
    {
      cure: 'Check that the file is as the replica wrote it; a line that was cut short takes none of the others with it.',
      details: { failed, badLines },
    },
  );
}

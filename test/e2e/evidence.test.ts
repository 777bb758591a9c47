// What a replica has on record of provable faults, as an engine notices it, judged by the command line.

import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { KeyValueStore } from '../../examples/key-value/index.ts';
import { toHex, utf8 } from '../../src/base/bytes.ts';
import { ed25519, type Signer } from '../../src/crypto/signature.ts';
import type { Engine, Evidence } from '../../src/replication/contract.ts';
import { createPbftEngine } from '../../src/replication/pbft/index.ts';
import { checkpointBytes } from '../../src/replication/pbft/statements.ts';
import { bundle } from '../../src/replication/requests.ts';
import { EvidenceFile } from '../../src/server/replication/evidence-file.ts';
import { describeGroup } from '../../src/server/replication/index.ts';
import { endAll, runCli } from './processes.ts';
import { temporaryFolder } from './system.ts';

afterAll(endAll);

const client = ed25519.signer(new Uint8Array(32).fill(99));

/** A group of its own: four members, of which the first runs. */
function groupOf(name: string) {
  const signers = [1, 2, 3, 4].map((fill) => ed25519.signer(new Uint8Array(32).fill(fill)));
  const members = signers.map(({ publicKey }, i) => ({
    publicKey,
    address: { host: 'localhost', port: i + 1 },
  }));
  return { signers, group: describeGroup(name, members, 1) };
}

/** Makes a client and member 2 contradict themselves. @returns what the engine says to that. */
function caughtIn(name: string): Evidence[] {
  const { signers, group } = groupOf(name);
  const { instance } = group;
  const [signer, , liar] = signers as [Signer, Signer, Signer];
  const options = { group, index: 0, signer, scheme: ed25519, service: new KeyValueStore() };
  const engine: Engine = createPbftEngine(options);
  engine.handle({ kind: 'start', restored: undefined }, 0);
  const evidence: Evidence[] = [];
  for (const words of ['give', 'take']) {
    const asked = { client: client.publicKey, number: 1, kind: 0, operation: utf8(words) };
    for (const request of bundle(client, instance, [asked])) {
      const message = {
        name: 'submitRequest',
        value: { instance, request, fullReplier: 0 },
      } as const;
      const from = { kind: 'client', key: client.publicKey } as const;
      evidence.push(...engine.handle({ kind: 'message', from, message }, 0).evidence);
    }
  }
  for (const fill of [1, 2]) {
    const claim = { sequence: 128, root: new Uint8Array(32).fill(fill), isFinal: 0 };
    const signature = liar.sign(checkpointBytes(instance, claim));
    const message = {
      name: 'checkpoint',
      value: { instance, replica: 2, ...claim, signature },
    } as const;
    const from = { kind: 'replica', index: 2 } as const;
    evidence.push(...engine.handle({ kind: 'message', from, message }, 0).evidence);
  }
  return evidence;
}

/** The data folder of a replica of one group, with what was noticed in the same or in another one. */
async function recorded(from: string, as = from): Promise<{ folder: string; file: string }> {
  const folder = await temporaryFolder();
  await mkdir(join(folder, 'journal'));
  const file = join(folder, 'evidence.jsonl');
  const kept = new EvidenceFile(file, groupOf(as).group);
  for (const evidence of caughtIn(from)) expect(kept.append(evidence)).toBe(true);
  return { folder, file };
}

const liarKey = toHex((groupOf('one').signers[2] as Signer).publicKey);
const records = [
  { line: 1, code: 'request-contradiction', accused: toHex(client.publicKey), isProved: true },
  { line: 2, code: 'checkpoint-contradiction', accused: liarKey, isProved: true },
];

describe('holdfast evidence', () => {
  test('finds proved what a replica has on record, in its folder or in the file', async () => {
    const { folder, file } = await recorded('one');
    for (const path of [folder, file]) {
      const told = await runCli(['evidence', path, '--json']);
      expect(told).toMatchObject({ code: 0, stderr: '' });
      expect(JSON.parse(told.stdout)).toMatchObject({ file, records, badLines: [] });
    }
    const { code, stdout } = await runCli(['evidence', folder]);
    expect(code).toBe(0);
    expect(stdout).toContain(liarKey);
    expect(stdout.match(/^\d+ +proved /gm)).toHaveLength(2);
  });

  test('says so where nobody was caught', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'journal'));
    const told = await runCli(['evidence', folder]);
    const none = { code: 0, stdout: 'There is no evidence.\n', stderr: '' };
    expect(told).toMatchObject(none);
    await writeFile(join(folder, 'evidence.jsonl'), '');
    expect(await runCli(['evidence', folder])).toMatchObject(none);
  });

  test('believes no line that was changed or cut short, and all the others', async () => {
    const { folder, file } = await recorded('one');
    const [first = '', second = ''] = (await readFile(file, 'utf8')).split('\n');
    const changed = first.replace(toHex(utf8('take')), toHex(utf8('mine')));
    expect(changed).not.toBe(first);
    await writeFile(file, [first, changed, second.slice(0, -9), 'nonsense', second, ''].join('\n'));
    const told = await runCli(['evidence', folder, '--json']);
    expect(told.code).toBe(5);
    const [asked, voted] = records;
    expect(JSON.parse(told.stdout)).toMatchObject({
      records: [asked, { ...asked, line: 2, isProved: false }, { ...voted, line: 5 }],
      badLines: [3, 4],
    });
    expect(JSON.parse(told.stderr)).toMatchObject({
      error: {
        code: 'verification-failed',
        message: `not proved: line 2 of ${file}; no record: line 3, 4 of ${file}. What stands there accuses nobody.`,
        details: { file, failed: [2], badLines: [3, 4] },
      },
    });
  });

  test('holds what is of another group against that group alone', async () => {
    const own = await recorded('one');
    const other = await recorded('other');
    await appendFile(own.file, await readFile(other.file));
    const told = await runCli(['evidence', own.file, '--json']);
    expect(told).toMatchObject({ code: 0, stderr: '' });
    const instances = ['one', 'other'].map((name) => toHex(groupOf(name).group.instance));
    expect(JSON.parse(told.stdout)).toMatchObject({
      records: [0, 0, 1, 1].map((at) => ({ instance: instances[at], isProved: true })),
    });
    const passedOff = await recorded('other', 'one');
    const judged = await runCli(['evidence', passedOff.file, '--json']);
    expect(judged.code).toBe(5);
    expect(JSON.parse(judged.stdout)).toMatchObject({
      records: [{ isProved: false }, { isProved: false }],
    });
  });

  test('names a file without a single record, and says that it is no evidence file', async () => {
    const folder = await temporaryFolder();
    const file = join(folder, 'evidence.jsonl');
    await writeFile(file, 'started\nstopped\n');
    const told = await runCli(['evidence', folder]);
    expect(told).toMatchObject({ code: 5, stdout: '' });
    expect(told.stderr).toContain(
      `${file} is no evidence file: none of its 2 lines is a record. It accuses nobody`,
    );
    expect(told.stderr).toContain('→ Name the data folder of a replica');
    const details = { file, badLines: [1, 2] };
    const asJson = await runCli(['evidence', folder, '--json']);
    expect(JSON.parse(asJson.stderr)).toMatchObject({ error: { details } });
    await writeFile(file, '{}\n');
    const single = await runCli(['evidence', folder]);
    expect(single.code).toBe(5);
    expect(single.stderr).toContain('its only line is no record. It accuses nobody');
  });

  test('reads no folder of something else', async () => {
    const told = await runCli(['evidence', await temporaryFolder()]);
    expect(told).toMatchObject({ code: 2, stdout: '' });
    expect(told.stderr).toContain('cannot read');
  });
});

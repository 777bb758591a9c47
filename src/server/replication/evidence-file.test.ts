import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../base/bytes.ts';
import { ed25519 } from '../../crypto/signature.ts';
import { silentLog } from '../../env/log.ts';
import type { Evidence } from '../../replication/contract.ts';
import { contradictingRequests } from '../../replication/pbft/evidence.ts';
import { bundle } from '../../replication/requests.ts';
import type { SignedRequest } from '../../wire/replication.ts';
import { checkEvidenceFile, EvidenceFile, evidenceKeeper } from './evidence-file.ts';
import { describeGroup } from './group.ts';

const seeds = [1, 2, 3, 4].map((fill) => new Uint8Array(32).fill(fill));
const group = describeGroup(
  'test',
  seeds.map((seed, i) => ({
    publicKey: ed25519.signer(seed).publicKey,
    address: { host: 'localhost', port: i + 1 },
  })),
  1,
);
const client = ed25519.signer(new Uint8Array(32).fill(9));
const genesis = new Uint8Array(32).fill(5);

/** A client's request 7 to do this. */
function request(words: string): SignedRequest {
  const unsigned = { client: client.publicKey, number: 7, kind: 0, operation: utf8(words) };
  const [signed] = bundle(client, group.instance, [unsigned]);
  if (signed === undefined) throw new TypeError('one request gives one bundle');
  return signed;
}

const twoBodies: Evidence = {
  ...contradictingRequests(client.publicKey, request('put'), request('take')),
  genesis,
};

const hexOf = (text: string): string => Buffer.from(text).toString('hex');

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-evidence-'));
  path = join(folder, 'evidence.jsonl');
});

afterEach(() => rmSync(folder, { recursive: true }));

describe('evidence on disk', () => {
  it('proves what it says to whoever has the file', () => {
    new EvidenceFile(path, group).append(twoBodies);
    expect(checkEvidenceFile(path).records).toMatchObject([
      { line: 1, code: 'request-contradiction', isProved: true },
    ]);
  });

  it('proves nothing when anything in it was changed', () => {
    new EvidenceFile(path, group).append(twoBodies);
    const record = JSON.parse(readFileSync(path, 'utf8'));
    const other = Buffer.from(ed25519.signer(seeds[0] ?? client.publicKey).publicKey);
    const changes = [
      { accused: other.toString('hex') },
      { code: 'new-view-refuted' },
      { group: { ...record.group, instance: '00'.repeat(32) } },
      { proof: record.proof.replace(hexOf('take'), hexOf('mine')) },
    ];
    writeFileSync(
      path,
      changes.map((change) => `${JSON.stringify({ ...record, ...change })}\n`).join(''),
    );
    expect(checkEvidenceFile(path).records.map(({ isProved }) => isProved)).toEqual([
      false,
      false,
      false,
      false,
    ]);
  });

  it('is kept once for each kind and key, also after a restart', () => {
    expect(new EvidenceFile(path, group).append(twoBodies)).toBe(true);
    expect(new EvidenceFile(path, group).append(twoBodies)).toBe(false);
    expect(checkEvidenceFile(path).records).toHaveLength(1);
  });

  it('against clients, who have as many keys as they like, leaves room for that against members', () => {
    const file = new EvidenceFile(path, group);
    const against = (accused: Uint8Array) => file.append({ ...twoBodies, accused });
    for (let i = 0; i < 300; i++)
      against(Uint8Array.from({ length: 32 }, (_, at) => (at < 2 ? i >> (8 * at) : 7)));
    expect(checkEvidenceFile(path).records).toHaveLength(200);
    expect(against(group.members[0] ?? client.publicKey)).toBe(true);
  });

  it('that cannot be written is lost, and nothing else is', () => {
    const file = new EvidenceFile(join(folder, 'no such folder', 'evidence.jsonl'), group);
    expect(file.append(twoBodies)).toBe(false);
  });

  it('of what is done over and over is logged and told once, also where nothing is written', () => {
    for (const where of [path, undefined]) {
      const logged: string[] = [];
      const told: Evidence[] = [];
      const log = { ...silentLog, warn: (event: string) => logged.push(event) };
      const file = new EvidenceFile(where, group);
      const keep = evidenceKeeper(file, log, (evidence) => told.push(evidence));
      for (let i = 0; i < 3; i++) keep(twoBodies);
      expect(logged, String(where)).toEqual(['evidence']);
      expect(told, String(where)).toEqual([twoBodies]);
    }
  });

  it('is looked for in the data folder, where there is none if nobody was caught', () => {
    expect(() => checkEvidenceFile(folder)).toThrow('no such file');
    expect(() => checkEvidenceFile(path)).toThrow('no such file');
    mkdirSync(join(folder, 'journal'));
    const none = { file: path, records: [], badLines: [] };
    expect(checkEvidenceFile(folder)).toEqual(none);
    expect(checkEvidenceFile(path)).toEqual(none);
    expect(() => checkEvidenceFile(join(folder, 'nowhere', 'evidence.jsonl'))).toThrow('no such');
    writeFileSync(path, 'no record\n');
    expect(checkEvidenceFile(folder)).toEqual({ file: path, records: [], badLines: [1] });
  });

  it('that is no evidence is named by its line', () => {
    writeFileSync(path, '{"holdfast":"evidence"}\n');
    expect(checkEvidenceFile(path)).toEqual({ file: path, records: [], badLines: [1] });
    expect(() => checkEvidenceFile(join(folder, 'nothing'))).toThrow('cannot read');
  });

  it('behind a line that was cut short is whole', () => {
    writeFileSync(path, '\n{"holdfast":"evid');
    expect(new EvidenceFile(path, group).append(twoBodies)).toBe(true);
    expect(checkEvidenceFile(path)).toMatchObject({
      records: [{ line: 3, isProved: true }],
      badLines: [2],
    });
    expect(new EvidenceFile(path, group).append(twoBodies), 'after a restart').toBe(false);
  });
});

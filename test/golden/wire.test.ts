// docs/WIRE.md is what peers are written from: it may not differ from the code, nor the bytes in it from the format.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { exampleGroup } from '../../scripts/wire-doc/replication-examples.ts';
import { regenerated } from '../../scripts/wire-doc/sections.ts';
import { type Bytes, concatBytes, equalBytes, fromHex } from '../../src/base/bytes.ts';
import { Trust } from '../../src/configuration/certificates.ts';
import { Configuration } from '../../src/configuration/configuration.ts';
import { ed25519 } from '../../src/crypto/signature.ts';
import { HeaderVerifier } from '../../src/dbqs/headers.ts';
import { blockId, holdingProof } from '../../src/dbqs/ids.ts';
import { pageDigest, nodeDigest, stateRoot } from '../../src/replication/page-tree.ts';
import { batchDigest } from '../../src/replication/pbft/batch.ts';
import { newViewFault } from '../../src/replication/pbft/decision.ts';
import { pbftRules } from '../../src/replication/pbft/rules.ts';
import { newViewDigest, Statements, viewChangeDigest } from '../../src/replication/pbft/statements.ts';
import { RequestVerifier, resultDigest } from '../../src/replication/requests.ts';
import { decodeEntry } from '../../src/replication/vr/log.ts';
import { FrameDecoder } from '../../src/wire/frame.ts';
import {
  decodeMessage,
  type Message,
  type MessageName,
  type MessageValue,
  payloadSizeBytesMax,
  messageNames,
} from '../../src/wire/registry.ts';
import {
  decodeReplicationMessage,
  type ReplicationMessage,
  type ReplicationMessageName,
  type ReplicationMessageValue,
  replicationMessageNames,
  replicationPayloadSizeBytesMax,
} from '../../src/wire/replication-registry.ts';

const read = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
const document = read('WIRE.md');
const names = messageNames;

/** The bytes of an example, put together from the document alone. */
function documentedBytes(name: MessageName | ReplicationMessageName): Bytes {
  const begin = document.indexOf(`#### ${name}\n\n\`\`\`text\n`);
  const text = document.slice(begin, document.indexOf('\n```', begin + 10 + name.length));
  const columns = [...text.matchAll(/ {2}([0-9a-f]+)$/gm)];
  return concatBytes(...columns.map(([, hex]) => fromHex(hex ?? '') ?? new Uint8Array(0)));
}

function documented<Name extends MessageName>(name: Name): MessageValue<Name> {
  let found: Message | undefined;
  const decoder = new FrameDecoder(payloadSizeBytesMax);
  const error = decoder.push(documentedBytes(name), ({ type, payload }) => {
    found = decodeMessage(type, payload);
  });
  expect(error).toBeUndefined();
  if (found?.name !== name) expect.fail(`the example of ${name} does not decode`);
  // The name has just been compared; the compiler does not carry that over to the value.
  return found.value as MessageValue<Name>;
}

it('the document is what the code gives; `npm run docs:wire` writes it anew', () => {
  expect(document).toBe(regenerated(document));
});

describe('the bytes in the document', () => {
  it.each(names)('of %s are one frame with that message', (name) => {
    documented(name);
  });

  it('carry certificates and signatures that verify', () => {
    const { configuration: record } = documented('configuration');
    const { certificate } = documented('hello');
    const authorityKey = fromHex(/authority, public key[^|]*\| `([0-9a-f]+)`/.exec(document)?.[1] ?? '');
    const trust = new Trust(record.system, authorityKey ?? new Uint8Array(0), ed25519);
    const configuration = Configuration.accept(record, trust);
    expect(configuration).toBeInstanceOf(Configuration);
    expect(certificate[0] !== undefined && trust.client(certificate[0], 0)).toBe(true);
    const { object, header, data } = documented('write');
    const verifier = new HeaderVerifier(record.system, ed25519);
    expect(verifier.verify(object, header) && verifier.matches(header, data)).toBe(true);
    const { block, data: blockData } = documented('store');
    expect(equalBytes(blockId(blockData), block)).toBe(true);
    const { challenge } = documented('hold');
    expect(documented('held').proof).toEqual(holdingProof(challenge, blockData));
  });
});

function documentedOfGroup<Name extends ReplicationMessageName>(name: Name): ReplicationMessageValue<Name> {
  let found: ReplicationMessage | undefined;
  const decoder = new FrameDecoder(replicationPayloadSizeBytesMax);
  const error = decoder.push(documentedBytes(name), ({ type, payload }) => {
    found = decodeReplicationMessage(type, payload);
  });
  expect(error).toBeUndefined();
  if (found?.name !== name) expect.fail(`the example of ${name} does not decode`);
  // As above.
  return found.value as ReplicationMessageValue<Name>;
}

describe('the bytes of replicated groups in the document', () => {
  it.each(replicationMessageNames)('of %s are one frame with that message', (name) => {
    documentedOfGroup(name);
  });

  it('carry requests and batches that fit together', () => {
    const { request } = documentedOfGroup('submitRequest');
    const { requests, agreed } = documentedOfGroup('prePrepare');
    const verifier = new RequestVerifier(ed25519, exampleGroup.instance);
    const digests = requests.map((each) => verifier.verify(each) ?? expect.fail('not signed'));
    expect(requests[0]).toEqual(request);
    expect(batchDigest(digests, agreed)).toEqual(documentedOfGroup('pbftCommit').digest);
    const entry = decodeEntry(documentedOfGroup('vrPrepare').entry)?.entry;
    expect(entry?.requests).toEqual(requests.map((each) => each.request));
    const { outcome, result, digest } = documentedOfGroup('requestReply');
    expect(resultDigest(outcome, result[0] ?? new Uint8Array(0))).toEqual(digest);
  });

  it('carry statements that members believe, and a view that may begin', () => {
    const { genesis } = documentedOfGroup('pbftStatus');
    const statements = new Statements(exampleGroup, ed25519, 256, genesis);
    expect(statements.isCheckpointVote(documentedOfGroup('checkpoint'))).toBe(true);
    const { certificate } = documentedOfGroup('stableCheckpoint');
    expect(statements.isCertificate(certificate)).toBe(true);
    const viewChange = documentedOfGroup('viewChange');
    const digest = viewChangeDigest(viewChange.statement);
    expect(statements.isViewChange(viewChange, digest)).toBe(true);
    const newView = documentedOfGroup('newView');
    expect(statements.isNewView(newView, newViewDigest(newView.statement))).toBe(true);
    expect(newView.statement.viewChanges[0]).toEqual({ replica: viewChange.statement.replica, digest });
    expect(statements.isNewKey(documentedOfGroup('newKey'))).toBe(true);
    expect(newViewFault(newView.statement, 4, 1, pbftRules)).toBeUndefined();
  });

  it('carry a page that leads to the root of its checkpoint', () => {
    const { pages } = documentedOfGroup('statePart');
    const absent = new Uint8Array(32);
    let top = pageDigest('service', 0, pages[0]?.bytes[0] ?? new Uint8Array(0));
    for (const level of [1, 2, 3]) {
      const children = concatBytes(top, ...Array.from({ length: 255 }, () => absent));
      top = nodeDigest('service', level, 0, children);
    }
    expect(stateRoot(top, absent)).toEqual(documentedOfGroup('checkpoint').root);
  });
});

it('the glossary names every message', () => {
  const glossary = read('GLOSSARY.md');
  expect([...names, ...replicationMessageNames].filter((name) => !glossary.includes(`\`${name}\``))).toEqual([]);
});

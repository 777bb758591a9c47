// docs/WIRE.md is what peers are written from: it may not differ from the code, nor the bytes in it from the format.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { regenerated } from '../../scripts/wire-doc/sections.ts';
import { type Bytes, concatBytes, equalBytes, fromHex } from '../../src/base/bytes.ts';
import { Trust } from '../../src/configuration/certificates.ts';
import { Configuration } from '../../src/configuration/configuration.ts';
import { ed25519 } from '../../src/crypto/signature.ts';
import { HeaderVerifier } from '../../src/dbqs/headers.ts';
import { blockId, holdingProof } from '../../src/dbqs/ids.ts';
import { FrameDecoder } from '../../src/wire/frame.ts';
import {
  decodeMessage,
  type Message,
  type MessageName,
  type MessageValue,
  payloadSizeBytesMax,
  messageNames,
} from '../../src/wire/registry.ts';

const read = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
const document = read('WIRE.md');
const names = messageNames;

/** The bytes of an example, put together from the document alone. */
function documentedBytes(name: MessageName): Bytes {
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

it('the glossary names every message', () => {
  const glossary = read('GLOSSARY.md');
  expect(names.filter((name) => !glossary.includes(`\`${name}\``))).toEqual([]);
});

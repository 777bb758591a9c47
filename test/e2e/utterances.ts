// Messages for attackers: each of the right form, and none that an honest program would send there.

import { randomBytes } from 'node:crypto';
import { examples } from '../../scripts/wire-doc/example-messages.ts';
import type { Bytes } from '../../src/base/bytes.ts';
import { ed25519 } from '../../src/crypto/signature.ts';
import { HeaderVerifier, headerScheme } from '../../src/dbqs/headers.ts';
import { objectId } from '../../src/dbqs/ids.ts';
import { encodeFrame } from '../../src/wire/frame.ts';
import { encodeMessage, type MessageName, messageNumber } from '../../src/wire/registry.ts';
import { type Certified, contextFor, frameOf } from './attacks.ts';

/** Everything that a server is asked by clients or members. */
export const requestNames = [
  ...(['readVersion', 'write', 'fetch', 'store', 'get', 'hold', 'list'] as const),
  ...(['status', 'ping', 'registerRead', 'registerWrite'] as const),
];

/** Everything that it is not asked, but answers. */
export const replyNames = [
  ...(['configuration', 'refused', 'stale', 'needConfiguration', 'version', 'written'] as const),
  ...(['data', 'stored', 'block', 'absent', 'held', 'listed', 'serverStatus', 'pong'] as const),
];

/** The payload of a message of the system that docs/WIRE.md has as its example. */
export function encodedExample<Name extends MessageName>(name: Name): Bytes {
  return encodeMessage(name, examples[name]);
}

/** The same message, but of the client's system and under this nonce. */
export function exampleFrameFor(client: Certified, name: MessageName, nonce: Bytes): Bytes {
  const payload = Uint8Array.from(encodedExample(name));
  if ('instance' in examples[name]) {
    const { instance } = contextFor(client);
    payload.set(instance, 0);
    payload.set(nonce, instance.length + 8);
  }
  return encodeFrame(messageNumber(name), payload);
}

/** A block under another's name. */
export function falseBlock(client: Certified): Bytes {
  const block = randomBytes(32);
  return frameOf('store', { ...contextFor(client), block, data: randomBytes(10_000) });
}

const signer = ed25519.signer(randomBytes(32));

/** A version that was signed as the first and is sent as the second. */
export function unsignedWrite(client: Certified): Bytes {
  const { id } = client.file.system;
  const data = randomBytes(1_000);
  const scheme = headerScheme(new HeaderVerifier(id, ed25519), id, new Uint8Array(20), signer);
  const header = scheme.sign(1, data);
  return frameOf('write', {
    ...contextFor(client),
    object: objectId(signer.publicKey),
    header: { ...header, version: { ...header.version, counter: 2 } },
    data,
  });
}

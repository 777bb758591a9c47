// How a certificate says that its key speaks for an identity key: as a name of the subject, which TLS leaves alone.

import type { PeerId } from '../base/brand.ts';
import { type Bytes, fromHex, toHex } from '../base/bytes.ts';
import { type ChannelKeyClaim, channelKeyBytes } from '../crypto/channel-key.ts';
import { ed25519 } from '../crypto/signature.ts';

/** An identity's word for a channel key. */
export interface Credential extends ChannelKeyClaim {
  /** Raw public key, 32 bytes. */
  readonly identity: Bytes;
  readonly signature: Bytes;
}

const scheme = 'holdfast:channel-key';

export function credentialUri({ identity, counter, notAfterMs, signature }: Credential): string {
  return `${scheme}:${toHex(identity)}:${counter}:${notAfterMs}:${toHex(signature)}`;
}

/** As the runtime shows names of a subject. */
const credentialName =
  /^URI:holdfast:channel-key:([0-9a-f]{64}):(0|[1-9]\d{0,15}):([1-9]\d{0,15}):([0-9a-f]{128})$/;

/** Whether a certificate's names are meant as a credential, right or wrong. */
export function hasCredential(names: string | undefined): names is string {
  return names?.startsWith(`URI:${scheme}:`) === true;
}

/** What a credential has proved. */
export interface ProvenKey extends ChannelKeyClaim {
  readonly peer: PeerId;
}

/** Undefined unless the identity has signed for just this key in this system. @param key raw, of the certificate. */
export function checkCredential(names: string, key: Bytes, system: Bytes): ProvenKey | undefined {
  const [, identityHex = '', counterText, notAfterText, signatureHex = ''] =
    credentialName.exec(names) ?? [];
  const identity = fromHex(identityHex);
  const signature = fromHex(signatureHex);
  const claim = { counter: Number(counterText), notAfterMs: Number(notAfterText) };
  if (identity === undefined || signature === undefined) return undefined;
  if (!Number.isSafeInteger(claim.counter) || !Number.isSafeInteger(claim.notAfterMs)) {
    return undefined;
  }
  if (!ed25519.verify(identity, channelKeyBytes(system, claim, key), signature)) return undefined;
  return { peer: identityHex as PeerId, ...claim };
}

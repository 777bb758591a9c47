// How a replica comes by its identity key: it has the seed, or a module has it and signs for it.

import type { Bytes } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { ed25519 } from '../../crypto/signature.ts';
import type { Timer, Timers } from '../../env/clock.ts';
import type { Log } from '../../env/log.ts';
import { createIdentity, type Identity } from '../../node/identity.ts';
import type { MemberSigner } from '../../replication/pbft/index.ts';
import { checkSeed } from './arguments.ts';
import type { PlacedGroup } from './group.ts';
import { type RemoteIdentity, RemoteSigner } from './signing/remote.ts';

export interface MemberKey {
  readonly signer: MemberSigner;
  /** What its channels are opened with at first. */
  readonly identity: Identity;
  /** Makes other keys for them; undefined where the identity key itself ends them. */
  readonly renew: (() => Identity) | undefined;
  /** When the newest of those expire, milliseconds since 1970. */
  expiresMs(): number | undefined;
  close(): void;
}

export interface MemberKeySource {
  readonly identitySeed?: Bytes | undefined;
  readonly signingSocket?: string | undefined;
}

/** @throws HoldfastError `bad-configuration`; `unavailable` when the module does not answer. */
export async function memberKeyOf(
  { identitySeed, signingSocket }: MemberKeySource,
  group: PlacedGroup,
  kind: 'pbft' | 'vr',
): Promise<MemberKey> {
  if ((identitySeed === undefined) === (signingSocket === undefined)) {
    throw new HoldfastError(
      'bad-configuration',
      'a replica has the seed of its key, or the socket of the module that has it',
      { cure: 'Give one of identitySeed and signingSocket.' },
    );
  }
  if (identitySeed !== undefined) {
    checkSeed('identitySeed', identitySeed);
    const identity = await createIdentity(identitySeed);
    const signer = ed25519.signer(identitySeed);
    return { signer, identity, renew: undefined, expiresMs: () => undefined, close() {} };
  }
  if (kind === 'vr') {
    throw new HoldfastError(
      'bad-configuration',
      'members of Viewstamped Replication sign nothing, and have no signing module',
      { cure: 'Give identitySeed.' },
    );
  }
  const signer = await RemoteSigner.open(signingSocket ?? '', group);
  try {
    return remoteKey(signer);
  } catch (error) {
    signer.close();
    throw error;
  }
}

function remoteKey(signer: RemoteSigner): MemberKey {
  let newest: RemoteIdentity = signer.newIdentity();
  return {
    signer,
    identity: newest.identity,
    renew() {
      newest = signer.newIdentity();
      return newest.identity;
    },
    expiresMs: () => newest.notAfterMs,
    close: () => signer.close(),
  };
}

/** How long after a refusal the module is asked again. */
const retryMs = 10_000;
/** How often the clock is looked at. */
const lookMs = 60_000;

export interface KeyRefreshOptions {
  readonly timers: Timers;
  readonly log: Log;
  readonly timeOfDayMs: () => number;
  readonly expiresMs: () => number | undefined;
  /** Makes other keys. */
  readonly refresh: () => void;
}

/** Has keys of channels replaced when half their time is over. @returns what ends it. */
export function refreshKeysInTime(options: KeyRefreshOptions): () => void {
  const { timers, log, timeOfDayMs, expiresMs, refresh } = options;
  let timer: Timer | undefined;
  let halfMs = 0;
  let knownMs: number | undefined;
  const arm = (): void => {
    const untilMs = expiresMs();
    if (untilMs === undefined) return;
    const lastsMs = untilMs - timeOfDayMs();
    if (untilMs !== knownMs) halfMs = lastsMs / 2;
    knownMs = untilMs;
    // In steps: the clock may have been wrong, and be put right.
    timer = timers.after(Math.min(Math.max(lastsMs - halfMs, retryMs), lookMs), () => {
      if ((expiresMs() ?? 0) - timeOfDayMs() > halfMs) return arm();
      try {
        refresh();
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        log.warn('channel-keys-not-renewed', { why });
      }
      arm();
    });
  };
  arm();
  return () => timer?.cancel();
}

// How a replica comes by its identity key: it has the seed, or a module has it and signs for it.

import type { Bytes } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { ed25519 } from '../../crypto/signature.ts';
import { createIdentity, type Identity } from '../../node/identity.ts';
import type { MemberSigner } from '../../replication/pbft/index.ts';
import { checkSeed } from './arguments.ts';
import type { PlacedGroup } from './group.ts';
import type { WatchedModule } from './module-watch.ts';
import { type RemoteIdentity, RemoteSigner } from './signing/remote.ts';

export interface MemberKey {
  readonly signer: MemberSigner;
  /** What its channels are opened with at first. */
  readonly identity: Identity;
  /** Makes other keys for them; undefined where the identity key itself ends them. */
  readonly renew: (() => Identity) | undefined;
  /** What is to be done about a module while the replica runs; undefined without one. */
  readonly module: WatchedModule | undefined;
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
    const what = identitySeed === undefined ? 'neither' : 'both';
    throw new HoldfastError(
      'bad-configuration',
      `a replica has the seed of its key, or the socket of the module that has it; this one has ${what}`,
      {
        cure:
          kind === 'vr'
            ? 'Give identitySeed: members of Viewstamped Replication have no module.'
            : 'Give identitySeed, or signingSocket, and not the other.',
      },
    );
  }
  if (identitySeed !== undefined) {
    checkSeed('identitySeed', identitySeed);
    const identity = await createIdentity(identitySeed);
    const signer = ed25519.signer(identitySeed);
    return { signer, identity, renew: undefined, module: undefined, close() {} };
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
    module: {
      expiresMs: () => newest.notAfterMs,
      silence: () => signer.silence(),
      async renewLater() {
        const later = await signer.newIdentityLater();
        // Keys may have been changed meanwhile: nobody takes what was vouched for before.
        if (later.counter >= newest.counter) newest = later;
        return newest.identity;
      },
    },
    close: () => signer.close(),
  };
}

import type { PeerId } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';
import type { Identity, Proof } from './identity.ts';

/** How a node goes about keys of channels that identities vouch for. Without it only identities themselves are taken. */
export interface ChannelKeyOptions {
  /** The system in which peers' identities have to vouch for their keys. */
  readonly system: Bytes;
  /**
   * Time of day, milliseconds since 1970. Who gives it takes no key that has expired: it hears of no changes of keys, so
   * that nothing else ends one that was stolen.
   */
  readonly timeOfDayMs?: () => number;
  /** New keys for this node's own end of channels. Without it they are the identity's own, which never change. */
  readonly renew?: () => Identity;
}

/** Which keys of its peers a node still takes. */
export class PeerKeys {
  readonly #timeOfDayMs: (() => number) | undefined;
  /** By peer, the counter below which its keys are void. */
  readonly #counters = new Map<PeerId, number>();

  constructor(options: ChannelKeyOptions | undefined) {
    this.#timeOfDayMs = options?.timeOfDayMs;
  }

  demand(peer: PeerId, counter: number): void {
    this.#counters.set(peer, Math.max(counter, this.#counters.get(peer) ?? 0));
  }

  /**
   * A word for newer keys is a word against those of before, whoever has missed the message.
   * @returns whether channels may have to be closed.
   */
  note({ peer, keys }: Proof): boolean {
    if (keys === undefined || keys.counter <= (this.#counters.get(peer) ?? 0)) return false;
    this.demand(peer, keys.counter);
    return true;
  }

  refusalOf({ peer, keys }: Proof): 'channel-key-old' | 'channel-key-expired' | undefined {
    if (keys === undefined) return undefined;
    if (keys.counter < (this.#counters.get(peer) ?? 0)) return 'channel-key-old';
    return (this.lastsMs({ keys }) ?? 1) <= 0 ? 'channel-key-expired' : undefined;
  }

  /** How long a channel with these keys may last; undefined if that is not bounded. */
  lastsMs({ keys }: Pick<Proof, 'keys'>): number | undefined {
    if (keys === undefined || this.#timeOfDayMs === undefined) return undefined;
    return keys.notAfterMs - this.#timeOfDayMs();
  }
}

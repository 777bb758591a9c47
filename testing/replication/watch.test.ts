import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brand.ts';
import type { Network } from '../../src/env/network.ts';
import {
  encodeReplicationMessage,
  type ReplicationMessageName,
  type ReplicationMessageValue,
  replicationMessageNumber,
} from '../../src/wire/replication-registry.ts';
import { Agreement } from './agreement.ts';
import { UtteranceWatch } from './watch.ts';

const instance = new Uint8Array(32).fill(7);
const own = 2;

/** A member that is listened to; nothing that it sends arrives. */
class Speaker {
  readonly watch = new UtteranceWatch('r2', own, instance, new Agreement());
  readonly #network: Network;

  constructor() {
    const channel = { peer: 'peer' as PeerId, send: () => true, close: () => {} };
    this.#network = this.watch.wrap({
      open: () => channel,
      onMessage: () => {},
      onClosed: () => {},
      close: async () => {},
    });
  }

  say<Name extends ReplicationMessageName>(
    name: Name,
    value: Omit<ReplicationMessageValue<Name>, 'instance'>,
  ): this {
    const whole: object = { instance, ...value };
    const bytes = encodeReplicationMessage(name, whole as ReplicationMessageValue<Name>);
    const channel = this.#network.open('peer' as PeerId, { host: 'r0', port: 1 });
    channel.send(replicationMessageNumber(name), bytes);
    return this;
  }

  get violation(): string | undefined {
    return this.watch.violation;
  }
}

const entry = (fill: number): Uint8Array => new Uint8Array(40).fill(fill);
const vote = { hasLog: 1, lastNormal: 0, sequence: 0, commit: 0, low: 0, first: 1, entries: [] };
const start = { active: [0, 1, 2], sequence: 0, commit: 0, low: 0, first: 1, entries: [] };
const ok = { sequence: 0, commit: 0 };
const prepare = { commit: 0, low: 0, entry: entry(1) };
const digest = entry(3).subarray(0, 32);

function viewChange(view: number, replica = own): ReplicationMessageValue<'viewChange'> {
  const certificate = { sequence: 0, root: digest, isFinal: 0, signatures: [] };
  const statement = { replica, view, forgotten: 0, certificate, prepared: [], accepted: [] };
  return { instance, statement, signature: new Uint8Array(64) };
}

describe('a member that is listened to', () => {
  it('may say in each view what belongs to it, one after the other', () => {
    const speaker = new Speaker()
      .say('vrPrepareOk', { ...ok, view: 0, sequence: 3 })
      .say('vrPrepareOk', { ...ok, view: 0, sequence: 4 })
      .say('vrStartViewChange', { view: 1 })
      .say('vrDoViewChange', { ...vote, view: 1, sequence: 4 })
      // What it knows to be committed is another matter.
      .say('vrDoViewChange', { ...vote, view: 1, sequence: 4, commit: 2 })
      .say('vrPrepareOk', { ...ok, view: 1, sequence: 2 })
      .say('vrStartViewChange', { view: 2 })
      .say('vrStartView', { ...start, view: 2, sequence: 2, first: 3 })
      .say('vrPrepare', { ...prepare, view: 2, sequence: 3 })
      .say('pbftPrepare', { view: 2, sequence: 1, digest })
      .say('viewChange', viewChange(3))
      // Another one's, handed on.
      .say('viewChange', viewChange(9, 0))
      .say('pbftPrepare', { view: 3, sequence: 1, digest });
    expect(speaker.violation).toBeUndefined();
  });

  const later: readonly (readonly [string, (speaker: Speaker) => Speaker])[] = [
    ['acknowledges', (it) => it.say('vrPrepareOk', { ...ok, view: 4 })],
    ['proposes', (it) => it.say('vrPrepare', { ...prepare, view: 4, sequence: 1 })],
    ['tells what is committed', (it) => it.say('vrCommit', { ...ok, view: 4, low: 0 })],
    ['begins', (it) => it.say('vrStartView', { ...start, view: 4 })],
    ['votes', (it) => it.say('vrDoViewChange', { ...vote, view: 4 })],
    ['calls for', (it) => it.say('vrStartViewChange', { view: 4 })],
    ['asks for a lease', (it) => it.say('vrLeaseRequest', { view: 4, sentAtMs: 1, durationMs: 1 })],
    ['grants a lease', (it) => it.say('vrLeaseGrant', { view: 4, sentAtMs: 1 })],
    [
      'tells who recovers',
      (it) =>
        it.say('vrRecoveryResponse', { nonce: entry(2).subarray(0, 16), view: 4, sequence: 0 }),
    ],
    [
      'orders',
      (it) =>
        it.say('prePrepare', {
          view: 4,
          sequence: 1,
          requests: [],
          agreed: entry(2),
          fullRepliers: [],
        }),
    ],
    ['prepares', (it) => it.say('pbftPrepare', { view: 4, sequence: 1, digest })],
    ['commits', (it) => it.say('pbftCommit', { view: 4, sequence: 1, digest })],
    ['leaves for', (it) => it.say('viewChange', viewChange(4))],
  ];

  it.each(later)('%s no view below one that it has left the others for', (_, say) => {
    for (const leave of [
      (speaker: Speaker) => speaker.say('vrStartViewChange', { view: 5 }),
      (speaker: Speaker) => speaker.say('vrDoViewChange', { ...vote, view: 5 }),
      (speaker: Speaker) => speaker.say('viewChange', viewChange(5)),
    ]) {
      expect(say(leave(new Speaker())).violation).toContain('of view 4 after leaving for 5');
    }
    expect(say(new Speaker().say('vrStartViewChange', { view: 4 })).violation).toBeUndefined();
  });

  it('may show again the VIEW-CHANGE by which it left, and only that', () => {
    const speaker = new Speaker()
      .say('viewChange', viewChange(5))
      .say('viewChange', viewChange(6))
      .say('viewChange', viewChange(5));
    expect(speaker.violation).toBeUndefined();
    expect(speaker.say('viewChange', viewChange(4)).violation).toContain('after leaving for 6');
    const other = viewChange(5);
    const statement = { ...other.statement, accepted: [{ sequence: 1, digest, view: 4 }] };
    const again = new Speaker().say('viewChange', other).say('viewChange', { ...other, statement });
    expect(again.violation).toContain('said two things');
  });

  it('is free again when it has lost its disk and says so', () => {
    const speaker = new Speaker().say('viewChange', viewChange(5));
    speaker.watch.release();
    expect(speaker.say('pbftPrepare', { view: 4, sequence: 1, digest }).violation).toBeUndefined();
  });

  it('may still be shown to hand on what it had left by before it lost its disk, and nothing that it had not', () => {
    const speaker = new Speaker().say('viewChange', viewChange(5)).say('viewChange', viewChange(6));
    speaker.watch.release();
    speaker.say('viewChange', viewChange(6)).say('viewChange', viewChange(5));
    expect(speaker.violation).toBeUndefined();
    speaker.say('viewChange', viewChange(8));
    expect(speaker.say('viewChange', viewChange(7)).violation).toContain('after leaving for 8');
  });

  it('votes with all that it has acknowledged', () => {
    const holding = (): Speaker =>
      new Speaker().say('vrPrepareOk', { ...ok, view: 2, sequence: 4 });
    const voted = (claim: Partial<typeof vote>): string | undefined =>
      holding().say('vrDoViewChange', { ...vote, view: 3, ...claim }).violation;
    expect(voted({ lastNormal: 2, sequence: 4 })).toBeUndefined();
    expect(voted({ lastNormal: 2, sequence: 3 })).toContain('3 entries of 4');
    expect(voted({ lastNormal: 1, sequence: 9 })).toContain('without the log of 2');
    // A witness may have dropped its log, but not taken up an older one.
    expect(voted({ lastNormal: 2, sequence: 0, hasLog: 0 })).toBeUndefined();
    // With the log that it has begun a view with as well.
    const primary = new Speaker().say('vrStartView', { ...start, view: 2, sequence: 5 });
    primary.say('vrDoViewChange', { ...vote, view: 3, lastNormal: 2, sequence: 4 });
    expect(primary.violation).toContain('4 entries of 5');
  });

  it('votes for a view once', () => {
    const given = { ...vote, view: 3, lastNormal: 1, sequence: 4 };
    const again = (claim: Partial<typeof vote>): string | undefined =>
      new Speaker().say('vrDoViewChange', given).say('vrDoViewChange', { ...given, ...claim })
        .violation;
    expect(again({ lastNormal: 2 })).toContain('vote for 3');
    expect(again({ sequence: 3 })).toContain('3 entries of 4');
    expect(again({ sequence: 5 })).toBeUndefined();
    // A witness may have dropped its log, and where that would end means nothing.
    expect(again({ hasLog: 0, sequence: 7 })).toBeUndefined();
    expect(again({ hasLog: 0, lastNormal: 2 })).toContain('vote for 3');
  });

  it('begins a view once, and goes on behind what that began with', () => {
    const begun = (): Speaker =>
      new Speaker().say('vrStartView', { ...start, view: 3, sequence: 1, entries: [entry(1)] });
    const again = { ...start, view: 3, sequence: 1, entries: [entry(1)] };
    expect(begun().say('vrStartView', again).violation).toBeUndefined();
    for (const change of [{ sequence: 2 }, { entries: [entry(2)] }, { active: [0, 2] }]) {
      const violation = begun().say('vrStartView', { ...again, ...change }).violation;
      expect(violation).toContain('start of view 3');
    }
    const proposed = { ...prepare, view: 3, sequence: 1 };
    expect(begun().say('vrPrepare', proposed).violation).toContain('began with 1 entries');
  });

  it('takes nothing back of what it has acknowledged', () => {
    const speaker = new Speaker().say('vrPrepareOk', { ...ok, view: 2, sequence: 4 });
    speaker.say('vrPrepareOk', { ...ok, view: 2, sequence: 3 });
    expect(speaker.violation).toContain('3 acknowledged in 2 after 4');
  });
});

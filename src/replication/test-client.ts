// For tests: one client whose members are played by the test.

import { expect } from 'vitest';
import type { PeerId } from '../base/brand.ts';
import { textOf, toHex, utf8 } from '../base/bytes.ts';
import type { HoldfastError } from '../base/errors.ts';
import { ed25519 } from '../crypto/signature.ts';
import {
  decodeReplicationMessage,
  encodeReplicationMessage,
  type ReplicationMessage,
  type ReplicationMessageValue,
  replicationMessageNumber,
} from '../wire/replication-registry.ts';
import { byzantineAcceptance } from './acceptance.ts';
import { GroupClient, type GroupClientOptions } from './client.ts';
import type { Outcome, ReplicaGroup } from './contract.ts';
import { resultDigest } from './requests.ts';
import { TestEnv } from './test-env.ts';

export const group: ReplicaGroup = {
  instance: new Uint8Array(32).fill(7),
  members: [1, 2, 3, 4].map((i) => new Uint8Array(32).fill(i)),
  faults: 1,
};
const addresses = group.members.map((_, i) => ({ host: 'localhost', port: 1000 + i }));
export const signer = ed25519.signer(new Uint8Array(32).fill(1));
export const peers = group.members.map((key) => toHex(key) as PeerId);

type Reply = ReplicationMessageValue<'requestReply'>;

/** A client and what the members see of it; the test answers for them. */
export class Stage {
  readonly test = new TestEnv(3);
  readonly client: GroupClient;
  readonly outcomes: (string | HoldfastError)[] = [];
  /** What a fresh client says first. */
  readonly greeting: readonly string[] = [];
  /** Whatever it sent at first. */
  readonly sent: ReturnType<Stage['taken']> = [];

  constructor(isFresh = true, more: Partial<GroupClientOptions> = {}) {
    this.client = new GroupClient({
      env: this.test.env,
      signer,
      group,
      addresses,
      acceptance: byzantineAcceptance(1),
      isFresh,
      ...more,
    });
    if (isFresh) {
      this.sent = this.taken();
      this.greeting = this.sent.map(({ member, message }) => `${member} ${message.name}`);
    }
  }

  /** What was sent since the last call, as `member:name`. */
  taken(): { member: number; message: ReplicationMessage }[] {
    return this.test.sent.splice(0).map(({ peer, type, payload }) => {
      const message = decodeReplicationMessage(type, payload);
      if (message === undefined) expect.unreachable('clients send messages only');
      return { member: peers.indexOf(peer), message };
    });
  }

  /** Numbers of the requests sent since the last call, with the members they went to. */
  requests(): string[] {
    return this.requestsIn(this.taken());
  }

  requestsIn(sent: ReturnType<Stage['taken']>): string[] {
    return sent.flatMap(({ member, message }) =>
      message.name === 'submitRequest' ? [`${member}:${message.value.request.request.number}`] : [],
    );
  }

  async submit(...texts: string[]): Promise<void> {
    for (const text of texts) this.watch(this.client.submit(utf8(text)));
    await settled();
  }

  watch(outcome: Promise<Outcome>): void {
    outcome.then(
      (value) =>
        this.outcomes.push(value.kind === 'result' ? (textOf(value.result) ?? '?') : value.kind),
      (error: HoldfastError) => this.outcomes.push(error),
    );
  }

  async deliver<Name extends 'requestReply' | 'lastNumberIs'>(
    member: number,
    name: Name,
    value: ReplicationMessageValue<Name>,
  ): Promise<void> {
    const payload = encodeReplicationMessage(name, value);
    this.test.deliver(
      this.test.link(peers[member] as PeerId),
      replicationMessageNumber(name),
      payload,
    );
    await settled();
  }

  /** A reply with the whole result unless `whole` is false. */
  async reply(
    member: number,
    number: number,
    text: string,
    options: Partial<Reply> & { whole?: boolean } = {},
  ): Promise<void> {
    const { whole = true, ...others } = options;
    const outcome = others.outcome ?? 0;
    const result = utf8(text);
    await this.deliver(member, 'requestReply', {
      instance: group.instance,
      view: 0,
      sequence: number,
      number,
      kind: 0,
      outcome,
      digest: resultDigest(outcome, result),
      result: whole ? [result] : [],
      ...others,
    });
  }
}

export async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

// A member's identity key that is in a module.

import { resolve } from 'node:path';
import { type Bytes, equalBytes } from '../../../base/bytes.ts';
import { HoldfastError } from '../../../base/errors.ts';
import { ed25519 } from '../../../crypto/signature.ts';
import type { Identity } from '../../../node/identity.ts';
import type { MemberSigner } from '../../../replication/pbft/index.ts';
import type { PlacedGroup } from '../group.ts';
import { checkSocketPath, isServedHere } from './module.ts';
import { SigningThread } from './thread.ts';
import type { SigningAnswer, SigningCall } from './worker.ts';

export interface RemoteIdentity {
  readonly identity: Identity;
  /** Number of the change of keys since which it is good. */
  readonly counter: number;
  /** Milliseconds since 1970. */
  readonly notAfterMs: number;
}

/** Signs by asking the module, which takes some 0.7 ms: members sign once for many batches. */
export class RemoteSigner implements MemberSigner {
  readonly publicKey: Bytes;
  readonly #socket: string;
  readonly #thread: SigningThread;

  private constructor(socket: string, group: PlacedGroup, thread: SigningThread) {
    this.#socket = socket;
    this.#thread = thread;
    const { publicKey, instance } = this.#describe();
    if (!equalBytes(instance, group.instance)) {
      throw new HoldfastError(
        'bad-configuration',
        `the signing module at ${socket} is for another instance than this group`,
        {
          cure: 'Name the socket of the module that was made for this group, or, after a hand-over, start one for it in its place.',
        },
      );
    }
    this.publicKey = publicKey;
  }

  /**
   * @throws HoldfastError `unavailable` when no module answers, `bad-configuration` when it is one of another instance, or of this
   * process, which cannot wait for itself.
   */
  static async open(path: string, group: PlacedGroup): Promise<RemoteSigner> {
    checkSocketPath(path);
    const socket = resolve(path);
    if (isServedHere(socket)) {
      throw new HoldfastError(
        'bad-configuration',
        `the signing module at ${socket} is in the process of the replica`,
        { cure: 'Start it in a process of its own: in this one it keeps the key from nobody.' },
      );
    }
    const thread = await SigningThread.start();
    try {
      return new RemoteSigner(socket, group, thread);
    } catch (error) {
      thread.close();
      throw error;
    }
  }

  sign(statement: Bytes): Bytes {
    const answer = this.#ask({ kind: 'sign', statement });
    if (answer.kind !== 'signed') throw this.#odd();
    // What answers on the socket need not be the module: nothing that it made up is to be kept or sent.
    if (!ed25519.verify(this.publicKey, statement, answer.signature)) throw this.#odd();
    return answer.signature;
  }

  keyChanges(): number {
    return this.#describe().counter;
  }

  newIdentity(): RemoteIdentity {
    const answer = this.#ask({ kind: 'new-channel-identity', publicKey: this.publicKey });
    if (answer.kind !== 'identity') throw this.#odd();
    return answer;
  }

  /** The same without waiting for it. */
  async newIdentityLater(): Promise<RemoteIdentity> {
    const question = { kind: 'new-channel-identity' as const, publicKey: this.publicKey };
    const answer = this.#checked(await this.#thread.askLater(this.#socket, question));
    if (answer.kind !== 'identity') throw this.#odd();
    return answer;
  }

  /** Why the module does not answer; undefined if it does. */
  async silence(): Promise<string | undefined> {
    const answer = await this.#thread.askLater(this.#socket, { kind: 'describe' });
    return answer.kind === 'unreachable' ? answer.reason : undefined;
  }

  close(): void {
    this.#thread.close();
  }

  #describe(): Extract<SigningAnswer, { kind: 'described' }>['value'] {
    const answer = this.#ask({ kind: 'describe' });
    if (answer.kind !== 'described') throw this.#odd();
    return answer.value;
  }

  #ask(question: SigningCall): SigningAnswer {
    return this.#checked(this.#thread.ask(this.#socket, question));
  }

  #checked(answer: SigningAnswer): SigningAnswer {
    if (answer.kind === 'unreachable') {
      throw new HoldfastError(
        'unavailable',
        `the signing module at ${this.#socket} does not answer: ${answer.reason}`,
        { cure: 'Start it, and then this replica again.' },
      );
    }
    if (answer.kind === 'refused') {
      throw new HoldfastError(
        'not-permitted',
        `the signing module at ${this.#socket} does not sign: ${answer.reason}`,
        {
          cure: 'See its log. If another program may have reached it, stop this one and look after that first.',
        },
      );
    }
    return answer;
  }

  #odd(): HoldfastError {
    return new HoldfastError('internal', `the signing module at ${this.#socket} answers oddly`);
  }
}

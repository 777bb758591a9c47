// Asks the module of a member in a thread of its own: an engine signs while it handles an event, and waits for that.

import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { type MessagePort, parentPort } from 'node:worker_threads';
import { type Bytes, textOf } from '../../../base/bytes.ts';
import { createChannelIdentity, type Identity } from '../../../node/identity.ts';
import {
  decodeSigning,
  encodeSigning,
  type SigningMessage,
  type SigningValue,
  signingDecoder,
  signingVersion,
} from '../../../wire/signing.ts';
import { reasonOf, systemCode } from '../../local-errors.ts';

export type SigningCall =
  | { readonly kind: 'describe' }
  | { readonly kind: 'sign'; readonly statement: Bytes }
  | { readonly kind: 'new-channel-identity'; readonly publicKey: Bytes };

export type SigningAnswer =
  | { readonly kind: 'described'; readonly value: SigningValue<'described'> }
  | { readonly kind: 'signed'; readonly signature: Bytes }
  | {
      readonly kind: 'identity';
      readonly identity: Identity;
      readonly counter: number;
      readonly notAfterMs: number;
    }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'unreachable'; readonly reason: string };

/** What the thread is given. */
export interface SigningTask {
  readonly socket: string;
  readonly question: SigningCall;
  /** Where the answer goes. */
  readonly port: MessagePort;
  /** One number, which becomes 1 then. */
  readonly isDone: Int32Array;
}

/** A module that takes longer does not answer at all. */
const answerTimeoutMs = 5_000;

class Refused extends Error {}

/** A module that is being started anew is asked again until then. */
const retryMs = 50;

async function call(socket: string, question: SigningCall): Promise<SigningAnswer> {
  const untilMs = performance.now() + answerTimeoutMs;
  for (;;) {
    try {
      return await answerTo(socket, question);
    } catch (error) {
      if (error instanceof Refused) return { kind: 'refused', reason: error.message };
      if (performance.now() >= untilMs) return { kind: 'unreachable', reason: whyOf(error) };
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }
}

const reasons = new Map([
  ['ECONNREFUSED', 'nothing listens there'],
  ['ENOENT', 'nothing is there'],
  ['EACCES', 'this user may not connect: it must be that of the module, or of its group'],
  ['ENOTSOCK', 'what is there is no socket'],
]);

function whyOf(error: unknown): string {
  return reasons.get(systemCode(error) ?? '') ?? reasonOf(error);
}

async function answerTo(socket: string, question: SigningCall): Promise<SigningAnswer> {
  if (question.kind === 'describe') {
    const bytes = encodeSigning('describe', { version: signingVersion });
    return { kind: 'described', value: payloadOf(await ask(socket, bytes), 'described') };
  }
  if (question.kind === 'sign') {
    const { statement } = question;
    const answer = await ask(socket, encodeSigning('sign', { statement }));
    return { kind: 'signed', signature: payloadOf(answer, 'signed').signature };
  }
  let word = { counter: 0, notAfterMs: 0 };
  const identity = await createChannelIdentity(randomBytes(32), async (channelKey) => {
    const answer = payloadOf(await ask(socket, encodeSigning('vouch', { channelKey })), 'vouched');
    word = { counter: answer.counter, notAfterMs: answer.notAfterMs };
    return { identity: question.publicKey, ...answer };
  });
  return { kind: 'identity', identity, ...word };
}

function payloadOf<N extends SigningMessage['name']>(
  message: SigningMessage,
  name: N,
): SigningValue<N> {
  if (message.name === 'refused') {
    throw new Refused(textOf(message.value.reason) ?? 'for a reason that is no text');
  }
  if (message.name !== name) throw new Refused(`it answered ${message.name} instead of ${name}`);
  // The compiler does not see that equal names have equal types.
  return message.value as SigningValue<N>;
}

/** One connection for each question: there are few, and a module may be started anew in between. */
function ask(path: string, question: Bytes): Promise<SigningMessage> {
  return new Promise((resolve, reject) => {
    const decoder = signingDecoder();
    const socket = connect({ path });
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    // Not the socket's own time-out, which begins anew with each byte.
    const timer = setTimeout(
      () => fail(new Error(`no answer in ${answerTimeoutMs} ms`)),
      answerTimeoutMs,
    );
    socket.on('close', () => clearTimeout(timer));
    socket.on('error', fail);
    socket.on('close', () => reject(new Error('it hung up without an answer')));
    socket.on('data', (chunk: Buffer) => {
      const error = decoder.push(chunk, (frame) => {
        const message = decodeSigning(frame);
        if (message === undefined) return fail(new Error('it answered with something else'));
        socket.destroy();
        resolve(message);
      });
      if (error !== undefined) fail(new Error('it answered with something else'));
    });
    socket.write(question);
  });
}

/** The answer is in the port before the asking thread wakes. */
parentPort?.on('message', ({ socket, question, port, isDone }: SigningTask) => {
  void call(socket, question).then((answer) => {
    port.postMessage(answer);
    Atomics.store(isDone, 0, 1);
    Atomics.notify(isDone, 0);
  });
});
// The asking thread must not wait for this one before it has been loaded: loading may take the other's help.
parentPort?.postMessage('ready');

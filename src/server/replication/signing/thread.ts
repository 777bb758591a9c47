// A thread that waits for the module while this one does nothing else.

import { once } from 'node:events';
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { SigningAnswer, SigningCall, SigningTask } from './worker.ts';

/** Compiled: what runs TypeScript as it is does not do so in threads. */
const worker = new URL('./worker.js', import.meta.url);

/** More than the thread itself waits. */
const answerTimeoutMs = 15_000;

export class SigningThread {
  readonly #worker: Worker;

  private constructor(worker: Worker) {
    this.#worker = worker;
  }

  static async start(): Promise<SigningThread> {
    const started = new Worker(worker);
    await once(started, 'message');
    // It keeps nothing running, and should it end, it does not answer.
    started.unref();
    started.on('error', () => {});
    return new SigningThread(started);
  }

  /** Holds everything up until the answer is there. */
  ask(socket: string, question: SigningCall): SigningAnswer {
    const { port1, port2 } = new MessageChannel();
    const isDone = new Int32Array(new SharedArrayBuffer(4));
    const task: SigningTask = { socket, question, port: port2, isDone };
    this.#worker.postMessage(task, [port2]);
    Atomics.wait(isDone, 0, 0, answerTimeoutMs);
    const received: { message: SigningAnswer } | undefined = receiveMessageOnPort(port1);
    port1.close();
    return received?.message ?? { kind: 'unreachable', reason: 'its thread does not answer' };
  }

  /** The same without waiting. */
  async askLater(socket: string, question: SigningCall): Promise<SigningAnswer> {
    const { port1, port2 } = new MessageChannel();
    const isDone = new Int32Array(new SharedArrayBuffer(4));
    const task: SigningTask = { socket, question, port: port2, isDone };
    const answered = new Promise<SigningAnswer>((resolve) => {
      port1.once('message', resolve);
      port1.once('close', () => resolve({ kind: 'unreachable', reason: 'its thread has ended' }));
    });
    // It alone keeps no process running.
    port1.unref();
    this.#worker.postMessage(task, [port2]);
    const answer = await answered;
    port1.close();
    return answer;
  }

  close(): void {
    void this.#worker.terminate();
  }
}

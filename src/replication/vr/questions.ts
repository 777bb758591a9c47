// Questions that clients ask beside reads and that nobody orders: for a result that is stored already, and for the largest
// number a client has used. Either costs whoever asks less than who answers, so they have a budget per client and turn.

import { type Bytes, emptyBytes, equalBytes, mapKey } from '../../base/bytes.ts';
import type { OrderedRequest } from '../../wire/replication.ts';
import { answerCostBytes, QuestionTurns } from '../question-turns.ts';
import type { Core } from './core.ts';

type Question =
  | { readonly name: 'result'; readonly request: OrderedRequest }
  | { readonly name: 'last-number'; readonly client: Bytes; nonce: Bytes };

/** What it costs to look at one request of the log. */
const lookCostBytes = 8;

export class Questions {
  readonly #core: Core;
  readonly #turns = new QuestionTurns<Question>((question) => this.#answer(question));

  constructor(core: Core) {
    this.#core = core;
  }

  get wantsTurn(): boolean {
    return this.#turns.wantsTurn;
  }

  beginTurn(): void {
    this.#turns.beginTurn();
  }

  /** @returns whether this request is none to order: its result is stored, or the instance has ended. */
  onRequest(request: OrderedRequest): boolean {
    const { client, number } = request;
    const key = mapKey(client);
    for (const other of this.#turns.waitingOf(key)) {
      if (other.name !== 'result' || other.request.number !== number) continue;
      this.#core.out.count('vr-duplicate');
      return true;
    }
    if (!this.#isAnswerable(request)) return false;
    this.#ask(key, { name: 'result', request });
    return true;
  }

  /** A client that has lost its counter asks f+1 of us. */
  onLastNumber(client: Bytes, nonce: Bytes): void {
    const { parts, out } = this.#core;
    if (parts.repair.isNeeded) return out.count('vr-state-missing');
    const key = mapKey(client);
    for (const other of this.#turns.waitingOf(key)) {
      if (other.name !== 'last-number') continue;
      // Whoever asks under another nonce has forgotten the one before.
      other.nonce = nonce;
      return out.count('vr-duplicate');
    }
    this.#ask(key, { name: 'last-number', client, nonce });
  }

  #ask(key: string, question: Question): void {
    // No client would learn anything from a refusal: it asks again.
    if (this.#turns.ask(key, question) !== 'taken') this.#core.out.count('vr-questions-full');
  }

  /** A tentative result is in the table too, above what is committed. */
  #isAnswerable({ client, number }: OrderedRequest): boolean {
    const { isWitness, executor, commit } = this.#core;
    if (isWitness) return false;
    if (executor.ended) return true;
    const found = executor.table.find(client, number);
    return found.kind === 'stored' && found.sequence <= commit;
  }

  /** @returns what it cost, in bytes. What has waited is looked at anew. */
  #answer(question: Question): number {
    const { parts, out } = this.#core;
    if (parts.fetch.isInstalling) {
      out.count('vr-busy');
      return answerCostBytes;
    }
    if (question.name === 'result') return this.#answerResult(question.request);
    return this.#answerLastNumber(question.client, question.nonce);
  }

  #answerResult(request: OrderedRequest): number {
    if (!this.#isAnswerable(request)) return answerCostBytes;
    const { executor, parts } = this.#core;
    // Finds what is stored; otherwise it says that the instance has ended.
    const { outcome, result } = executor.execute(request, emptyBytes, 0);
    const found = executor.table.find(request.client, request.number);
    parts.execution.reply(request, outcome, result, found.kind === 'stored' ? found.sequence : 0);
    return answerCostBytes + result.length;
  }

  /** What is in the log but not executed counts. */
  #answerLastNumber(client: Bytes, nonce: Bytes): number {
    const { instance, out, executor, log, parts } = this.#core;
    if (parts.repair.isNeeded) return answerCostBytes;
    let number = Math.max(executor.table.largest(client), parts.requests.largest(client));
    let looked = 0;
    for (let n = Math.max(parts.execution.executed + 1, log.first); n <= log.last; n++) {
      const { requests } = log.at(n).entry;
      looked += requests.length;
      for (const request of requests) {
        if (request.number > number && equalBytes(request.client, client)) number = request.number;
      }
    }
    out.toClient(client, 'lastNumberIs', { instance, nonce, number }, undefined);
    return answerCostBytes + lookCostBytes * looked;
  }
}

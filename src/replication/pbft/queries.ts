// Reads in one round (PBFT, 5.1.3, with the condition that makes them linearizable beside writes that end with f+1
// replies): an answer comes from committed state, not older than anything that might have been finished when the
// question arrived.

import { type Bytes, emptyBytes, mapKey } from '../../base/bytes.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import { answerCostBytes, QuestionTurns } from '../question-turns.ts';
import { resultDigest } from '../requests.ts';
import type { Core } from './core.ts';

interface Held {
  readonly client: Bytes;
  /** The view whose `floor` this is; undefined while this member cannot tell. */
  view: number | undefined;
  floor: number;
  readonly question: Question;
}

type Question =
  | { readonly name: 'read'; readonly value: ReplicationMessageValue<'queryRequest'> }
  | { readonly name: 'last-number'; readonly value: ReplicationMessageValue<'lastNumber'> };

const queryKind = 2;
/** Outcome of a reply: this member cannot read in one round now. */
const noAnswer = 3;

export class Queries {
  readonly #core: Core;
  readonly #turns = new QuestionTurns<Held>((held) => this.#tryAnswer(held));
  /** Something happened for which questions may have waited. */
  #isChanged = false;

  constructor(core: Core) {
    this.#core = core;
  }

  onQuery(client: Bytes, message: ReplicationMessageValue<'queryRequest'>): void {
    const { service, out } = this.#core;
    if (!service.isQuery(message.operation)) return out.count('query-changes-state');
    this.#ask(client, { name: 'read', value: message });
  }

  /** A client that has lost its counter asks how far it had come. */
  onLastNumber(client: Bytes, message: ReplicationMessageValue<'lastNumber'>): void {
    this.#ask(client, { name: 'last-number', value: message });
  }

  #ask(client: Bytes, question: Question): void {
    const { out } = this.#core;
    const key = mapKey(client);
    if (this.#turns.waitingOf(key).some((held) => isAgain(held.question, question))) {
      return out.count('duplicate');
    }
    const asked = this.#turns.ask(key, { client, view: undefined, floor: 0, question });
    if (asked === 'taken') return;
    out.count('queries-full');
    if (asked === 'refused' && question.name === 'read') this.#refuse(client, question.value);
  }

  /** So that the client need not wait to learn that it must have the read ordered. */
  #refuse(client: Bytes, { number }: ReplicationMessageValue<'queryRequest'>): void {
    const { instance, view, out, parts } = this.#core;
    const sequence = parts.execution.executed;
    const digest = resultDigest(noAnswer, emptyBytes);
    const said = { kind: queryKind, outcome: noAnswer, digest, result: [] };
    const value = { instance, view, sequence, number, ...said };
    out.send({ kind: 'client', key: client }, 'requestReply', value);
  }

  /** Something was executed, a view was entered or the state is complete again. */
  onExecuted(): void {
    this.#isChanged = true;
  }

  /** At the end of an event: after all that was ordered. */
  settle(): void {
    if (!this.#isChanged) return;
    this.#isChanged = false;
    if (this.#turns.count > 0) this.#turns.run();
  }

  get wantsTurn(): boolean {
    return this.#turns.wantsTurn;
  }

  beginTurn(): void {
    this.#turns.beginTurn();
  }

  /** @returns what it cost, in bytes; undefined: it cannot be answered yet. */
  #tryAnswer(held: Held): number | undefined {
    if (!this.#isAnswerable(held)) return undefined;
    const { state } = this.#core.executor;
    const pages = state.servicePagesRead;
    const sizeBytes = this.#answer(held);
    return sizeBytes + answerCostBytes * (1 + state.servicePagesRead - pages);
  }

  /**
   * Only while active, and once everything is executed that was stable, named by the NEW-VIEW or prepared in this view
   * when the question came. Batches prepared in older views above the NEW-VIEW's are no matter: the NEW-VIEW proves
   * that nothing was committed there.
   */
  #isAnswerable(held: Held): boolean {
    const { isActive, view, parts, rules, log, newViewTop } = this.#core;
    if (!isActive || parts.transfers.isRunning) return false;
    if (held.view !== view) {
      held.view = view;
      held.floor = rules.readFloor(log.height, newViewTop, parts.normalCase.preparedTop);
    }
    return parts.execution.executed >= held.floor && !parts.execution.isAhead;
  }

  /** @returns the bytes of the answer. */
  #answer({ client, question }: Held): number {
    if (question.name === 'read') return this.#answerRead(client, question.value);
    const { out, executor, instance } = this.#core;
    const number = executor.table.largest(client);
    const { nonce } = question.value;
    out.send({ kind: 'client', key: client }, 'lastNumberIs', { instance, nonce, number });
    return 0;
  }

  #answerRead(client: Bytes, message: ReplicationMessageValue<'queryRequest'>): number {
    const { instance, view, out, executor, parts, parameters, index } = this.#core;
    const answer = executor.query(message.operation);
    if (answer === undefined) return 0;
    const { outcome, result } = answer;
    const isFull =
      result.length <= parameters.fullReplySizeBytesMax || message.fullReplier === index;
    out.send({ kind: 'client', key: client }, 'requestReply', {
      instance,
      view,
      sequence: parts.execution.executed,
      number: message.number,
      kind: queryKind,
      outcome,
      digest: resultDigest(outcome, result),
      result: isFull ? [result] : [],
    });
    return result.length;
  }
}

/** A question that waits already: what it may be answered from was settled when it came first. */
function isAgain(a: Question, b: Question): boolean {
  if (a.name === 'read' && b.name === 'read') return a.value.number === b.value.number;
  return a.name === b.name;
}

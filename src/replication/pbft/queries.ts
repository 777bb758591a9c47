// Reads in one round (PBFT, 5.1.3, with the condition that makes them linearizable beside writes that end with f+1
// replies): an answer comes from committed state, not older than anything that might have been finished when the
// question arrived.

import { type Bytes, mapKey } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import { resultDigest } from '../requests.ts';
import type { Core } from './core.ts';

interface Held {
  readonly client: Bytes;
  readonly key: string;
  /** The view whose `floor` this is; undefined while this member cannot tell. */
  view: number | undefined;
  floor: number;
  readonly question: Question;
}

type Question =
  | { readonly name: 'read'; readonly value: ReplicationMessageValue<'queryRequest'> }
  | { readonly name: 'last-number'; readonly value: ReplicationMessageValue<'lastNumber'> };

const queryKind = 2;

export class Queries {
  readonly #core: Core;
  #held: Held[] = [];
  readonly #heldOf = new Map<string, number>();

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
    const count = this.#heldOf.get(key) ?? 0;
    if (
      count > 0 &&
      this.#held.some((held) => held.key === key && isAgain(held.question, question))
    ) {
      return out.count('duplicate');
    }
    if (this.#held.length >= limits.heldQueriesMax || count >= limits.heldQueriesPerClientMax) {
      return out.count('queries-full');
    }
    const held: Held = { client, key, view: undefined, floor: 0, question };
    if (this.#isAnswerable(held)) return this.#answer(held);
    this.#held.push(held);
    this.#heldOf.set(key, count + 1);
  }

  /** Something was executed, a view was entered or the state is complete again. */
  onExecuted(): void {
    if (this.#held.length === 0) return;
    const waiting: Held[] = [];
    for (const held of this.#held) {
      if (!this.#isAnswerable(held)) {
        waiting.push(held);
        continue;
      }
      const count = this.#heldOf.get(held.key) ?? 0;
      if (count <= 1) this.#heldOf.delete(held.key);
      else this.#heldOf.set(held.key, count - 1);
      this.#answer(held);
    }
    this.#held = waiting;
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

  #answer({ client, question }: Held): void {
    if (question.name === 'read') return this.#answerRead(client, question.value);
    const { out, executor, instance } = this.#core;
    const number = executor.table.largest(client);
    const { nonce } = question.value;
    out.send({ kind: 'client', key: client }, 'lastNumberIs', { instance, nonce, number });
  }

  #answerRead(client: Bytes, message: ReplicationMessageValue<'queryRequest'>): void {
    const { instance, view, out, executor, parts, parameters, index } = this.#core;
    const answer = executor.query(message.operation);
    if (answer === undefined) return;
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
  }
}

/** A question that waits already: what it may be answered from was settled when it came first. */
function isAgain(a: Question, b: Question): boolean {
  if (a.name === 'read' && b.name === 'read') return a.value.number === b.value.number;
  return a.name === b.name;
}

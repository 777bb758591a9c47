// What correct members were shown by members under one key each: which of these statements contradict each other.

import { type Bytes, mapKey } from '../../src/base/bytes.ts';
import { batchDigest } from '../../src/replication/pbft/batch.ts';
import { newViewDigest, viewChangeDigest } from '../../src/replication/pbft/statements.ts';
import { requestDigest } from '../../src/replication/requests.ts';
import {
  encodeReplicationMessage,
  type ReplicationMessage,
} from '../../src/wire/replication-registry.ts';

/** Of each of these a member may say one thing only in one place. */
export type ShowingKind = 'vote' | 'checkpoint' | 'viewChange' | 'newView' | 'state';

interface Showing {
  readonly kind: ShowingKind;
  readonly place: string;
  readonly said: string;
}

export class Showings {
  readonly #instance: Bytes;
  /** The first of what was said in a place, until something else is; then undefined. */
  readonly #places = new Map<string, string | undefined>();
  readonly #contradictions = new Map<ShowingKind, number>();

  constructor(instance: Bytes) {
    this.#instance = instance;
  }

  /** Places in which one member said two things to correct members: to one of them or to two. */
  contradictions(kind: ShowingKind): number {
    return this.#contradictions.get(kind) ?? 0;
  }

  /** A correct member hears this on a channel of member `from`. */
  note(from: number, message: ReplicationMessage): void {
    const showing = this.#showing(from, message);
    if (showing === undefined) return;
    const { kind, said } = showing;
    const key = `${from} ${kind} ${showing.place}`;
    if (!this.#places.has(key)) {
      this.#places.set(key, said);
      return;
    }
    const before = this.#places.get(key);
    if (before === undefined || before === said) return;
    this.#places.set(key, undefined);
    this.#contradictions.set(kind, this.contradictions(kind) + 1);
  }

  /** What others said and this one hands on is theirs. */
  #showing(from: number, { name, value }: ReplicationMessage): Showing | undefined {
    switch (name) {
      case 'prePrepare': {
        const digests = value.requests.map(({ request }) => requestDigest(this.#instance, request));
        const said = mapKey(batchDigest(digests, value.agreed));
        return { kind: 'vote', place: `${value.view} ${value.sequence}`, said };
      }
      case 'pbftPrepare':
      case 'pbftCommit': {
        const place = `${value.view} ${value.sequence}`;
        return { kind: 'vote', place, said: mapKey(value.digest) };
      }
      case 'checkpoint':
        if (value.replica !== from) return undefined;
        return { kind: 'checkpoint', place: `${value.sequence}`, said: mapKey(value.root) };
      case 'viewChange': {
        const { statement } = value;
        if (statement.replica !== from) return undefined;
        const place = `${statement.view} ${statement.forgotten}`;
        return { kind: 'viewChange', place, said: mapKey(viewChangeDigest(statement)) };
      }
      case 'newView': {
        const { statement } = value;
        return {
          kind: 'newView',
          place: `${statement.view}`,
          said: mapKey(newViewDigest(statement)),
        };
      }
      case 'statePart': {
        const { sequence, region, level } = value;
        const asked = [...value.nodes, ...value.pages].map(({ index }) => index);
        const place = `${sequence} ${region} ${level} ${asked.join(',')}`;
        return { kind: 'state', place, said: mapKey(encodeReplicationMessage(name, value)) };
      }
      default:
        return undefined;
    }
  }
}

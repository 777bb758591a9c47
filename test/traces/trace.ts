// What a group sends, as text: one line for each message however many receive it, with the fields that matter.

import { type Bytes, equalBytes, mapKey, textOf } from '../../src/base/bytes.ts';
import { batchDigest, isNull } from '../../src/replication/pbft/batch.ts';
import { requestDigest, requestKinds } from '../../src/replication/requests.ts';
import { decodeEntry } from '../../src/replication/vr/log.ts';
import type { PlacedDigest } from '../../src/wire/pbft.ts';
import type { OrderedRequest, SignedRequest } from '../../src/wire/replication.ts';
import type {
  ReplicationMessage,
  ReplicationMessageValue,
} from '../../src/wire/replication-registry.ts';
import type { Frame, ObservedGroup } from './observed-group.ts';

interface Line {
  readonly head: string;
  readonly to: string[];
  readonly said: string;
}

export class Trace {
  readonly #group: ObservedGroup;
  readonly #startMs: number;
  readonly #lines: string[] = [];
  #taken: number;
  /** What batches hold, by digest. */
  readonly #batches = new Map<string, string>();
  /** The last heartbeat of each primary: one that says the same is left out. */
  readonly #heartbeats = new Map<string, string>();

  /** @param title what the trace shows; the first line. */
  constructor(group: ObservedGroup, title: string) {
    this.#group = group;
    this.#lines.push(title, '');
    this.#startMs = group.nowMs;
    // Earlier batches are named too, but not shown.
    for (const { message } of group.frames) this.#learn(message);
    this.#taken = group.frames.length;
  }

  /** Lets time pass, then says what the reader should know. */
  async after(ms: number, text?: string): Promise<void> {
    await this.#group.simulation.runFor(ms);
    if (text !== undefined) this.note(text);
  }

  note(text: string): void {
    this.#flush();
    this.#lines.push(`${this.#time(this.#group.nowMs)}  -- ${text}`);
  }

  get text(): string {
    this.#flush();
    return `${this.#lines.join('\n')}\n`;
  }

  #time(atMs: number): string {
    return `${Math.round(10 * (atMs - this.#startMs)) / 10}`.padStart(5);
  }

  #flush(): void {
    const { frames } = this.#group;
    const lines: Line[] = [];
    for (; this.#taken < frames.length; this.#taken++) {
      const frame = frames[this.#taken] as Frame;
      this.#learn(frame.message);
      const said = `${frame.message.name.padEnd(17)}  ${this.#fieldsOf(frame.message)}`;
      const head = `${this.#time(frame.sentAtMs)}  ${frame.from}`;
      const to = frame.isLost ? `(${frame.to})` : frame.to;
      const last = lines.at(-1);
      if (last?.head === head && last.said === said) last.to.push(to);
      else if (!this.#isRepeated(frame, said)) lines.push({ head, to: [to], said });
    }
    for (const { head, to, said } of lines) {
      this.#lines.push(`${head} → ${to.join(' ').padEnd(14)}  ${said}`.trimEnd());
    }
  }

  #isRepeated({ from, message }: Frame, said: string): boolean {
    if (message.name !== 'vrCommit') return false;
    const isRepeated = this.#heartbeats.get(from) === said;
    this.#heartbeats.set(from, said);
    return isRepeated;
  }

  // ---- Names ----

  #learn({ name, value }: ReplicationMessage): void {
    if (name !== 'prePrepare') return;
    const { instance, requests, agreed } = value;
    const digests = requests.map(({ request }) => requestDigest(instance, request));
    this.#batches.set(mapKey(batchDigest(digests, agreed)), this.#batch(requests));
  }

  #batch(requests: readonly SignedRequest[]): string {
    return `{${requests.map(({ request }) => this.#request(request)).join(', ')}}`;
  }

  #digest(digest: Bytes): string {
    return isNull(digest) ? 'null' : (this.#batches.get(mapKey(digest)) ?? 'unknown');
  }

  #request({ client, kind, operation }: OrderedRequest): string {
    const index = this.#group.clientKeys.findIndex((key) => equalBytes(key, client));
    const what = kind === requestKinds.claim ? 'claim' : `${textOf(operation)}`;
    return `${what} of c${index}`;
  }

  #entry(bytes: Bytes, sequence: number): string {
    const entry = decodeEntry(bytes)?.entry;
    if (entry === undefined) return 'no entry';
    const requests = entry.requests.map((request) => this.#request(request)).join(', ');
    return `⟨${entry.view},${sequence}⟩ ${requests}`;
  }

  #log({ first, entries }: { first: number; entries: readonly Bytes[] }): string {
    const named = entries.map((bytes, i) => this.#entry(bytes, first + i));
    return `[${named.join('; ')}]`;
  }

  // ---- Fields ----

  #fieldsOf(message: ReplicationMessage): string {
    const { name, value } = message;
    switch (name) {
      case 'submitRequest':
        return this.#request(value.request.request);
      case 'requestReply':
        return this.#replyFields(value);
      case 'prePrepare':
        return `view ${value.view}, sequence ${value.sequence}, ${this.#batch(value.requests)}`;
      case 'pbftPrepare':
      case 'pbftCommit':
        return `view ${value.view}, sequence ${value.sequence}, ${this.#digest(value.digest)}`;
      case 'pbftStatus':
        return `view ${value.view}${value.isDoubting === 1 ? ', no patience left' : ''}`;
      case 'viewChange':
        return this.#viewChangeFields(value);
      case 'newView':
        return this.#newViewFields(value);
      case 'vrPrepare':
        return `view ${value.view}, commit ${value.commit}, ${this.#entry(value.entry, value.sequence)}`;
      case 'vrPrepareOk':
        return `view ${value.view}, up to ${value.sequence}`;
      case 'vrCommit':
        return `view ${value.view}, commit ${value.commit}, log up to ${value.sequence}`;
      case 'vrStartViewChange':
        return `view ${value.view}`;
      case 'vrDoViewChange':
        return `view ${value.view}, last normal in ${value.lastNormal}, commit ${value.commit}, ${this.#log(value)}`;
      case 'vrStartView':
        return `view ${value.view}, commit ${value.commit}, ${this.#log(value)}`;
      case 'vrGetState':
        return `view ${value.view}, behind ${value.from}`;
      case 'vrNewState':
        return `view ${value.view}, commit ${value.commit}, ${this.#log(value)}`;
      default:
        return '';
    }
  }

  #replyFields(value: ReplicationMessageValue<'requestReply'>): string {
    const { view, sequence, kind, outcome, result } = value;
    const [bytes] = result;
    const what = outcome === 0 && bytes !== undefined ? `was "${textOf(bytes)}"` : 'no result';
    return `view ${view}, sequence ${sequence}, ${what}${kind === 1 ? ', tentative' : ''}`;
  }

  #viewChangeFields({ statement }: ReplicationMessageValue<'viewChange'>): string {
    const { view, certificate, prepared, accepted } = statement;
    const set = (entries: readonly PlacedDigest[]): string =>
      `{${entries.map((e) => `${e.sequence}: ${this.#digest(e.digest)} in view ${e.view}`).join('; ')}}`;
    const { sequence } = certificate;
    return `view ${view}, stable ${sequence}, P ${set(prepared)}, Q ${set(accepted)}`;
  }

  #newViewFields({ statement }: ReplicationMessageValue<'newView'>): string {
    const { view, viewChanges, height, batches } = statement;
    const from = viewChanges.map(({ replica }) => `r${replica}`).join(' ');
    const chosen = batches.map((digest, i) => `${height + 1 + i}: ${this.#digest(digest)}`);
    return `view ${view}, VIEW-CHANGEs of ${from}, stable ${height}, batches {${chosen.join('; ')}}`;
  }
}

// The storage replica (protocols D.2 to D.4, D.8): synchronous, an authenticated message in, effects out. It reads its
// table, says what to make durable and what to answer after that; the host does both, in that order.

import { assert } from '../base/assert.ts';
import type { PeerId } from '../base/brand.ts';
import { type Bytes, equalBytes, fromHex } from '../base/bytes.ts';
import type { Configuration } from '../configuration/configuration.ts';
import type { Change } from '../env/disk.ts';
import { compareTimestamps } from '../registers/timestamp.ts';
import { limits } from '../wire/limits.ts';
import {
  encodeMessage,
  type Message,
  type MessageName,
  type MessageValue,
  messageNumber,
  type RefusalCode,
  refusalCodes,
} from '../wire/registry.ts';
import type { ObjectHeader } from '../wire/types.ts';
import { itemOverheadBytes } from './accounts.ts';
import type { HeaderVerifier } from './headers.ts';
import { Holdings, type Item, type ReplicaStore, unowned } from './holdings.ts';
import { blockId, holdingProof } from './ids.ts';
import {
  type ItemKind,
  idOfKey,
  recordKey,
  recordRange,
  unsealBlock,
  unsealObject,
} from './records.ts';

/** Who sent a message, as far as the channel and certificates prove it. */
export type Requester =
  | { readonly kind: 'client'; readonly key: Bytes; readonly quotaBytes: number }
  | { readonly kind: 'member' }
  | { readonly kind: 'stranger' };

export interface Effects {
  /** To be made durable as one, before the reply leaves. */
  readonly changes: readonly Change[];
  /** Keys whose newest value the reply reveals: it leaves only when the commits that wrote them are durable. */
  readonly reveals: readonly Bytes[] | 'everything';
  readonly reply: { readonly type: number; readonly payload: Bytes } | undefined;
  /** Found damaged on the way; to be repaired from the other members. */
  readonly damaged: readonly Item[];
  /** The message was such as no honest client sends; counts against its connection. */
  readonly fault: string | undefined;
}

const none: Effects = { changes: [], reveals: [], reply: undefined, damaged: [], fault: undefined };

export interface ReplicaOptions {
  readonly self: PeerId;
  readonly instance: Bytes;
  readonly store: ReplicaStore;
  readonly verifier: HeaderVerifier;
  /** Quota of clients whose certificate names none; 0 for no bound. */
  readonly quotaBytesDefault: number;
  /** Bytes that may still be written. Below a reserve the replica stores nothing new. */
  readonly freeBytes: () => number;
}

/** Kept free, so that journal, table and repairs can go on when clients may not. */
export const diskReserveBytes = 16 * 1024 * 1024;

type Request = Extract<Message, { value: { instance: Bytes; epoch: number; nonce: Bytes } }>;

export class StorageReplica {
  readonly holdings: Holdings;
  readonly #options: ReplicaOptions;
  #configuration: Configuration;
  #serving = false;

  constructor(configuration: Configuration, options: ReplicaOptions) {
    this.#configuration = configuration;
    this.#options = options;
    this.holdings = new Holdings(options.store, options.verifier);
  }

  get configuration(): Configuration {
    return this.#configuration;
  }

  get serving(): boolean {
    return this.#serving;
  }

  /** From now on this replica's store is one that clients may rely on. Until then it refuses every data request. */
  serve(): void {
    this.#serving = true;
  }

  // ---- Requests ----

  handle(requester: Requester, message: Message): Effects {
    if (!isRequest(message)) return { ...none, fault: 'unexpected-message' };
    const { value } = message;
    if (!equalBytes(value.instance, this.#options.instance))
      return { ...none, fault: 'foreign-instance' };
    if (requester.kind === 'stranger') return this.#refuse(message, 'not-certified');
    const { epoch } = this.#configuration;
    if (value.epoch < epoch) {
      const { certificate } = this.#configuration;
      return this.#answer(message, 'stale', { certificate });
    }
    // Nobody is believed about a later epoch without its certificate.
    if (value.epoch > epoch) return this.#answer(message, 'needConfiguration', {});
    if (message.name === 'ping') return this.#answer(message, 'pong', {});
    if (!this.#serving) return this.#refuse(message, 'repairing');
    return this.#dispatch(requester, message);
  }

  #dispatch(requester: Exclude<Requester, { kind: 'stranger' }>, message: Request): Effects {
    switch (message.name) {
      case 'readVersion':
        return this.#onReadVersion(message);
      case 'write':
        return requester.kind === 'client'
          ? this.#onWrite(requester, message)
          : this.#refuse(message, 'not-certified');
      case 'fetch':
        return this.#onFetch(message);
      case 'store':
        return requester.kind === 'client'
          ? this.#onStore(requester, message)
          : this.#refuse(message, 'not-certified');
      case 'get':
        return this.#onGet(message);
      case 'hold':
        return this.#onHold(message);
      case 'list':
        return requester.kind === 'member'
          ? this.#onList(message)
          : this.#refuse(message, 'not-certified');
      default:
        return { ...none, fault: 'unexpected-message' };
    }
  }

  #onReadVersion(message: Extract<Request, { name: 'readVersion' }>): Effects {
    const { object, inlineSizeBytesMax } = message.value;
    if (!this.#responsible(object)) return this.#refuse(message, 'not-responsible');
    const state = this.holdings.objectState(object);
    if (state === 'damaged') return this.#refuseDamaged(message, { kind: 'object', id: object });
    const reveals = [recordKey('object', object)];
    if (state === 'absent')
      return this.#answer(message, 'version', { object, header: [], data: [] }, reveals);
    const { header } = state;
    const inline = header.length <= Math.min(inlineSizeBytesMax, limits.inlineSizeBytesMax);
    const data = inline ? this.holdings.objectData(object, header) : undefined;
    if (inline && data === undefined)
      return this.#refuseDamaged(message, { kind: 'object', id: object });
    const fields = { object, header: [header], data: data === undefined ? [] : [data] };
    return this.#answer(message, 'version', fields, reveals);
  }

  #onWrite(requester: Requester, message: Extract<Request, { name: 'write' }>): Effects {
    const { object, header, data } = message.value;
    if (!this.#responsible(object)) return this.#refuse(message, 'not-responsible');
    if (
      !this.#options.verifier.verify(object, header) ||
      !this.#options.verifier.matches(header, data)
    ) {
      return { ...this.#refuse(message, 'invalid'), fault: 'invalid-write' };
    }
    const state = this.holdings.objectState(object);
    if (state === 'damaged') return this.#refuseDamaged(message, { kind: 'object', id: object });
    const reveals = [recordKey('object', object)];
    const written = { object, version: header.version };
    // A replica that holds something newer serves the quorum as well: it will never answer with less.
    if (state !== 'absent' && compareTimestamps(state.header.version, header.version) >= 0) {
      return this.#answer(message, 'written', written, reveals);
    }
    // Whoever writes the newest version is charged for it: nobody grows an object on another's account.
    const owner = ownerOf(requester);
    const charged =
      state !== 'absent' && equalBytes(state.owner, owner)
        ? state.header.length + itemOverheadBytes
        : 0;
    const grown = data.length + itemOverheadBytes - charged;
    const refusal = this.#refusalOf(requester, owner, grown);
    if (refusal !== undefined) return this.#refuse(message, refusal);
    const changes = this.holdings.objectChanges(object, { header, owner }, data, state);
    return { ...this.#answer(message, 'written', written), changes };
  }

  #onFetch(message: Extract<Request, { name: 'fetch' }>): Effects {
    const { object, version } = message.value;
    const state = this.holdings.objectState(object);
    if (state === 'damaged') return this.#refuseDamaged(message, { kind: 'object', id: object });
    if (state === 'absent' || compareTimestamps(state.header.version, version) < 0) {
      return this.#refuse(message, 'not-held');
    }
    const { header } = state;
    const data = this.holdings.objectData(object, header);
    if (data === undefined) return this.#refuseDamaged(message, { kind: 'object', id: object });
    return this.#answer(message, 'data', { object, header, data }, [recordKey('object', object)]);
  }

  #onStore(requester: Requester, message: Extract<Request, { name: 'store' }>): Effects {
    const { block, data } = message.value;
    if (!this.#responsible(block)) return this.#refuse(message, 'not-responsible');
    if (!equalBytes(blockId(data), block)) {
      return { ...this.#refuse(message, 'invalid'), fault: 'invalid-store' };
    }
    const key = recordKey('block', block);
    const sealed = this.#options.store.get(key);
    const known = sealed === undefined ? undefined : unsealBlock(block, sealed);
    if (known !== undefined && !this.holdings.isDamaged({ kind: 'block', id: block })) {
      return this.#answer(message, 'stored', { block }, [key]);
    }
    const owner = known?.owner ?? ownerOf(requester);
    const refusal = this.#refusalOf(
      requester,
      owner,
      known === undefined ? data.length + itemOverheadBytes : 0,
    );
    if (refusal !== undefined) return this.#refuse(message, refusal);
    // The bytes prove themselves, so storing a damaged block again mends it.
    const changes = this.holdings.blockChanges(block, owner, data);
    return { ...this.#answer(message, 'stored', { block }), changes };
  }

  #onGet(message: Extract<Request, { name: 'get' }>): Effects {
    const { block } = message.value;
    const data = this.holdings.blockData(block);
    if (data === 'damaged') return this.#refuseDamaged(message, { kind: 'block', id: block });
    const reveals = [recordKey('block', block)];
    if (data === 'absent') {
      if (!this.#responsible(block)) return this.#refuse(message, 'not-responsible');
      return this.#answer(message, 'absent', { block }, reveals);
    }
    return this.#answer(message, 'block', { block, data }, reveals);
  }

  #onHold(message: Extract<Request, { name: 'hold' }>): Effects {
    const { block, challenge } = message.value;
    const data = this.holdings.blockData(block);
    if (data === 'damaged') return this.#refuseDamaged(message, { kind: 'block', id: block });
    const reveals = [recordKey('block', block)];
    if (data === 'absent') return this.#answer(message, 'absent', { block }, reveals);
    const proof = holdingProof(challenge, data);
    return this.#answer(message, 'held', { block, proof }, reveals);
  }

  #onList(message: Extract<Request, { name: 'list' }>): Effects {
    const { kind: kindNumber, from } = message.value;
    const kind: ItemKind = kindNumber === 0 ? 'object' : 'block';
    const { from: first, to } = recordRange(kind, from);
    const entries = this.#options.store.range(first, to, limits.listEntriesMax);
    const objects: ObjectHeader[] = [];
    const blocks: Bytes[] = [];
    const damaged: Item[] = [];
    for (const { key, value } of entries) {
      const id = Uint8Array.from(idOfKey(key));
      const record = kind === 'object' ? unsealObject(id, value) : undefined;
      if (kind === 'block') blocks.push(id);
      else if (record !== undefined) objects.push(record.header);
      else damaged.push(this.holdings.markDamaged({ kind, id }));
    }
    // A damaged entry may be the only trace of a finished write: such a list must not speak for what it leaves out.
    if (damaged.length > 0) return { ...this.#refuse(message, 'repairing'), damaged };
    const complete = entries.length < limits.listEntriesMax ? 1 : 0;
    const fields = { kind: kindNumber, from, objects, blocks, complete };
    return this.#answer(message, 'listed', fields, 'everything');
  }

  responsibleFor(id: Bytes): boolean {
    return this.#responsible(id);
  }

  /** Whether there is room for what was fetched from others; they may use half of what clients must leave. */
  mayRestore(changes: readonly Change[]): boolean {
    let sizeBytes = 0;
    for (const { value } of changes) sizeBytes += value?.length ?? 0;
    return sizeBytes === 0 || this.#options.freeBytes() >= diskReserveBytes / 2 + sizeBytes;
  }

  // ---- State ----

  #responsible(id: Bytes): boolean {
    return this.#configuration.holds(this.#options.self, id);
  }

  #refusalOf(requester: Requester, owner: Bytes, grownBytes: number): RefusalCode | undefined {
    if (this.#options.freeBytes() < diskReserveBytes + grownBytes) return 'disk-full';
    if (requester.kind !== 'client') return undefined;
    const quotaBytes =
      requester.quotaBytes === 0 ? this.#options.quotaBytesDefault : requester.quotaBytes;
    const over =
      quotaBytes > 0 &&
      grownBytes > 0 &&
      this.holdings.accounts.usedBytes(owner) + grownBytes > quotaBytes;
    return over ? 'over-quota' : undefined;
  }

  // ---- Answers ----

  #answer<Name extends MessageName>(
    request: Request,
    name: Name,
    fields: Omit<MessageValue<Name>, 'instance' | 'epoch' | 'nonce'>,
    reveals: Effects['reveals'] = [],
  ): Effects {
    const { instance, nonce } = request.value;
    // The fields and the context together are the message; the compiler does not join them under a generic name.
    const context = { instance, epoch: this.#configuration.epoch, nonce };
    // Assigning is several times faster than spreading fields of many shapes.
    const value = Object.assign(context, fields) as unknown as MessageValue<Name>;
    return {
      ...none,
      reveals,
      reply: { type: messageNumber(name), payload: encodeMessage(name, value) },
    };
  }

  #refuse(request: Request, code: RefusalCode): Effects {
    return this.#answer(request, 'refused', { code: refusalCodes[code].number, detail: 0 });
  }

  #refuseDamaged(request: Request, item: Item): Effects {
    return { ...this.#refuse(request, 'repairing'), damaged: [this.holdings.markDamaged(item)] };
  }
}

function isRequest(message: Message): message is Request {
  return 'instance' in message.value;
}

function ownerOf(requester: Requester): Bytes {
  assert(requester.kind !== 'stranger', 'strangers store nothing');
  return requester.kind === 'client' ? requester.key : unowned;
}

/** The bytes of a peer's key. */
export function keyOfPeer(peer: PeerId): Bytes {
  const key = fromHex(peer);
  assert(key !== undefined, 'a peer id is hexadecimal');
  return key;
}

// One test per way in which the replica refuses or answers, on a plain map as its store.

import { beforeEach, describe, expect, it } from 'vitest';
import { found } from '../../testing/harness/genesis.ts';
import { simulatedSignatures } from '../../testing/simulator/signatures.ts';
import { assert } from '../base/assert.ts';
import { type Bytes, compareBytes, toHex } from '../base/bytes.ts';
import { Prng } from '../base/prng.ts';
import { storageInstance } from '../configuration/certificates.ts';
import type { Change } from '../env/disk.ts';
import { limits } from '../wire/limits.ts';
import {
  decodeMessage,
  encodeMessage,
  type Message,
  type MessageName,
  type MessageValue,
  messageNumber,
  refusalCodeOf,
} from '../wire/registry.ts';
import { HeaderVerifier, headerScheme } from './headers.ts';
import { blockId, holdingProof, objectId } from './ids.ts';
import { dataKey, recordKey } from './records.ts';
import { diskReserveBytes, type Effects, type Requester, StorageReplica } from './replica.ts';

const prng = new Prng(11);
const scheme = simulatedSignatures();
const { configuration, trust } = found({ prng, scheme, servers: 5, faults: 1 });
const instance = storageInstance(trust.system);
const verifier = new HeaderVerifier(trust.system, scheme);
const client: Requester = { kind: 'client', key: new Uint8Array(32).fill(1), quotaBytes: 0 };
const writer = new Uint8Array(20).fill(4);

class MapStore {
  readonly values = new Map<string, { key: Bytes; value: Bytes }>();

  get(key: Bytes): Bytes | undefined {
    return this.values.get(toHex(key))?.value;
  }

  range(from: Bytes, to: Bytes, limit: number) {
    return [...this.values.values()]
      .filter(({ key }) => compareBytes(key, from) >= 0 && compareBytes(key, to) < 0)
      .sort((a, b) => compareBytes(a.key, b.key))
      .slice(0, limit);
  }

  apply(changes: readonly Change[]): void {
    for (const { key, value } of changes) {
      if (value === undefined) this.values.delete(toHex(key));
      else this.values.set(toHex(key), { key, value });
    }
  }
}

let store: MapStore;
let replica: StorageReplica;
let freeBytes: number;

/** An object and a block that the server under test holds, found by trying. */
const [firstMember] = configuration.members;
assert(firstMember !== undefined, 'five servers');
const self = firstMember.peer;
const keyFor = (wanted: boolean) => {
  for (;;) {
    const signer = scheme.signer(prng.bytes(32));
    if (configuration.holds(self, objectId(signer.publicKey)) === wanted) return signer;
  }
};
const dataFor = (wanted: boolean): Bytes => {
  for (;;) {
    const data = prng.bytes(100);
    if (configuration.holds(self, blockId(data)) === wanted) return data;
  }
};
const signer = keyFor(true);
const object = objectId(signer.publicKey);
const block = dataFor(true);
const headers = headerScheme(verifier, trust.system, writer, signer);
const version = (counter: number, data: Bytes) => ({
  object,
  header: headers.sign(counter, data),
  data,
});

/** A replica that remembers nothing, on what is stored. */
function fresh(): StorageReplica {
  return new StorageReplica(configuration, {
    self,
    instance,
    store,
    verifier,
    quotaBytesDefault: 0,
    freeBytes: () => freeBytes,
  });
}

function restart(): void {
  replica = fresh();
  replica.serve();
}

beforeEach(() => {
  store = new MapStore();
  freeBytes = 2 ** 40;
  restart();
});

type Fields<Name extends MessageName> = Omit<MessageValue<Name>, 'instance' | 'epoch' | 'nonce'>;

function ask<Name extends MessageName>(
  name: Name,
  fields: Fields<Name>,
  { from = client, epoch = 0 }: { from?: Requester; epoch?: number } = {},
): { answer: Message | undefined; effects: Effects } {
  const value = {
    ...fields,
    instance,
    epoch,
    nonce: new Uint8Array(16).fill(5),
  } as MessageValue<Name>;
  const message = decodeMessage(messageNumber(name), encodeMessage(name, value));
  assert(message !== undefined, 'what we encode decodes');
  const effects = replica.handle(from, message);
  store.apply(effects.changes);
  const { reply } = effects;
  return {
    effects,
    answer: reply === undefined ? undefined : decodeMessage(reply.type, reply.payload),
  };
}

function refusal({ answer }: { answer: Message | undefined }): string | undefined {
  return answer?.name === 'refused' ? refusalCodeOf(answer.value.code) : answer?.name;
}

describe('objects', () => {
  it('have no header before the first write', () => {
    const { answer } = ask('readVersion', { object, inlineSizeBytesMax: 0 });
    expect(answer).toMatchObject({ name: 'version', value: { header: [], data: [] } });
  });

  it('are kept, shown with data when small and asked for, and fetched', () => {
    const data = new Uint8Array(10).fill(3);
    const written = ask('write', version(1, data));
    expect(written.answer?.name).toBe('written');
    expect(written.effects.changes).toHaveLength(2);
    const shown = ask('readVersion', { object, inlineSizeBytesMax: 9 }).answer;
    expect(shown).toMatchObject({ name: 'version', value: { data: [] } });
    const inline = ask('readVersion', { object, inlineSizeBytesMax: 10 }).answer;
    expect(inline).toMatchObject({ name: 'version', value: { data: [data] } });
    const { header } = version(1, data);
    const fetched = ask('fetch', { object, version: header.version }).answer;
    expect(fetched).toMatchObject({ name: 'data', value: { data } });
  });

  it('never go back to an older version, which is acknowledged all the same', () => {
    ask('write', version(2, new Uint8Array([2])));
    const older = ask('write', version(1, new Uint8Array([1])));
    expect(older.answer?.name).toBe('written');
    expect(older.effects.changes).toEqual([]);
    // The acknowledgement rests on what is stored, so it waits for that to be durable.
    expect(older.effects.reveals).toEqual([recordKey('object', object)]);
  });

  it('are written again without harm', () => {
    ask('write', version(1, new Uint8Array([1])));
    const again = ask('write', version(1, new Uint8Array([1])));
    expect(again.answer?.name).toBe('written');
    expect(again.effects.changes).toEqual([]);
    expect(replica.holdings.accounts.items.object).toBe(1);
  });

  it('give the newer version to who fetches an older one, and deny one that is not here', () => {
    ask('write', version(3, new Uint8Array([3])));
    const older = ask('fetch', { object, version: version(1, new Uint8Array([1])).header.version });
    expect(older.answer).toMatchObject({
      name: 'data',
      value: { header: { version: { counter: 3 } } },
    });
    const newer = ask('fetch', { object, version: version(4, new Uint8Array([4])).header.version });
    expect(refusal(newer)).toBe('not-held');
  });

  it('are refused with a signature of another key, for another object, with other data or another length', () => {
    const good = version(1, new Uint8Array([1, 2]));
    const thief = headerScheme(verifier, trust.system, writer, keyFor(true));
    const bad = [
      { ...good, header: thief.sign(1, good.data) },
      { ...good, data: new Uint8Array([1, 3]) },
      { ...good, header: { ...good.header, length: 3 }, data: new Uint8Array([1, 2, 0]) },
      { ...good, header: { ...good.header, version: { ...good.header.version, counter: 9 } } },
      version(0, good.data),
    ];
    for (const fields of bad) {
      const answered = ask('write', fields);
      expect(refusal(answered)).toBe('invalid');
      expect(answered.effects.fault).toBe('invalid-write');
      expect(answered.effects.changes).toEqual([]);
    }
  });
});

describe('blocks', () => {
  it('are kept, given and proven', () => {
    const id = blockId(block);
    expect(ask('get', { block: id }).answer?.name).toBe('absent');
    expect(ask('store', { block: id, data: block }).answer?.name).toBe('stored');
    expect(ask('get', { block: id }).answer).toMatchObject({
      name: 'block',
      value: { data: block },
    });
    const challenge = new Uint8Array(32).fill(9);
    const { answer } = ask('hold', { block: id, challenge });
    expect(answer).toMatchObject({
      name: 'held',
      value: { proof: holdingProof(challenge, block) },
    });
  });

  it('are stored once, however often they come', () => {
    const id = blockId(block);
    ask('store', { block: id, data: block });
    const again = ask('store', { block: id, data: block });
    expect(again.answer?.name).toBe('stored');
    expect(again.effects.changes).toEqual([]);
    expect(replica.holdings.accounts.storedSizeBytes).toBe(block.length);
  });

  it('are refused under a name that is not their hash', () => {
    const answered = ask('store', { block: blockId(block), data: new Uint8Array(100) });
    expect(refusal(answered)).toBe('invalid');
    expect(answered.effects.fault).toBe('invalid-store');
  });
});

describe('refusals', () => {
  it('strangers get nothing', () => {
    const stranger: Requester = { kind: 'stranger' };
    expect(refusal(ask('get', { block: blockId(block) }, { from: stranger }))).toBe(
      'not-certified',
    );
    expect(refusal(ask('write', version(1, block), { from: stranger }))).toBe('not-certified');
  });

  it('only members may list', () => {
    const fields = { kind: 0, from: new Uint8Array(32) };
    expect(refusal(ask('list', fields))).toBe('not-certified');
    expect(refusal(ask('list', fields, { from: { kind: 'member' } }))).toBe('listed');
  });

  it('what another group holds is not answered for', () => {
    const elsewhere = keyFor(false);
    const id = objectId(elsewhere.publicKey);
    const header = headerScheme(verifier, trust.system, writer, elsewhere).sign(1, block);
    expect(refusal(ask('readVersion', { object: id, inlineSizeBytesMax: 0 }))).toBe(
      'not-responsible',
    );
    expect(refusal(ask('write', { object: id, header, data: block }))).toBe('not-responsible');
    const data = dataFor(false);
    expect(refusal(ask('store', { block: blockId(data), data }))).toBe('not-responsible');
    expect(refusal(ask('get', { block: blockId(data) }))).toBe('not-responsible');
  });

  it('another epoch is neither served nor believed', () => {
    expect(ask('get', { block: blockId(block) }, { epoch: 1 }).answer?.name).toBe(
      'needConfiguration',
    );
    expect(replica.configuration.epoch).toBe(0);
  });

  it('another instance gets no answer at all', () => {
    const value = {
      instance: new Uint8Array(32),
      epoch: 0,
      nonce: new Uint8Array(16),
      block: blockId(block),
    };
    const { reply, fault } = replica.handle(client, { name: 'get', value });
    expect(reply).toBeUndefined();
    expect(fault).toBe('foreign-instance');
  });

  it('replies that come as requests are faults', () => {
    expect(ask('stored', { block: blockId(block) }).effects.fault).toBe('unexpected-message');
  });

  it('a replica that is not serving yet answers only pings', () => {
    const waiting = new StorageReplica(configuration, {
      self,
      instance,
      store,
      verifier,
      quotaBytesDefault: 0,
      freeBytes: () => freeBytes,
    });
    replica = waiting;
    expect(refusal(ask('get', { block: blockId(block) }))).toBe('repairing');
    expect(
      refusal(ask('list', { kind: 0, from: new Uint8Array(32) }, { from: { kind: 'member' } })),
    ).toBe('repairing');
    expect(ask('ping', {}).answer?.name).toBe('pong');
  });

  it('a quota bounds what a client adds, and overwriting within it goes on', () => {
    const small: Requester = { kind: 'client', key: new Uint8Array(32).fill(2), quotaBytes: 1_000 };
    expect(refusal(ask('write', version(1, new Uint8Array(500)), { from: small }))).toBe('written');
    expect(refusal(ask('store', { block: blockId(block), data: block }, { from: small }))).toBe(
      'over-quota',
    );
    expect(refusal(ask('write', version(2, new Uint8Array(744)), { from: small }))).toBe('written');
    expect(refusal(ask('write', version(3, new Uint8Array(745)), { from: small }))).toBe(
      'over-quota',
    );
    expect(refusal(ask('write', version(3, new Uint8Array(1)), { from: small }))).toBe('written');
    expect(refusal(ask('store', { block: blockId(block), data: block }, { from: small }))).toBe(
      'stored',
    );
  });

  it('a full disk takes nothing new and goes on answering', () => {
    ask('write', version(1, block));
    freeBytes = diskReserveBytes;
    expect(refusal(ask('write', version(2, new Uint8Array(5000))))).toBe('disk-full');
    expect(refusal(ask('store', { block: blockId(block), data: block }))).toBe('disk-full');
    expect(ask('readVersion', { object, inlineSizeBytesMax: 0 }).answer?.name).toBe('version');
  });
});

describe('repairs', () => {
  const restored = () => replica.holdings.restoreBlock(blockId(block), block);

  it('may use what clients must leave free, but not the last of it', () => {
    freeBytes = diskReserveBytes;
    expect(replica.mayRestore(restored())).toBe(true);
    freeBytes = diskReserveBytes / 2;
    expect(replica.mayRestore(restored())).toBe(false);
  });

  it('may always remove', () => {
    freeBytes = 0;
    expect(replica.mayRestore([{ key: recordKey('block', block), value: undefined }])).toBe(true);
  });
});

describe('damage', () => {
  const spoil = (key: Bytes): void => {
    const value = store.get(key);
    assert(value !== undefined, 'there is something to spoil');
    const spoilt = Uint8Array.from(value);
    spoilt[spoilt.length - 1] = (spoilt.at(-1) ?? 0) ^ 1;
    store.apply([{ key, value: spoilt }]);
  };

  it('in a header is never taken for "nothing was written"', () => {
    ask('write', version(1, block));
    spoil(recordKey('object', object));
    restart();
    const asked = ask('readVersion', { object, inlineSizeBytesMax: 0 });
    expect(refusal(asked)).toBe('repairing');
    expect(asked.effects.damaged).toEqual([{ kind: 'object', id: object }]);
    // Even a newer write must wait: the lost version may be newer still.
    expect(refusal(ask('write', version(2, block)))).toBe('repairing');
    expect(
      refusal(ask('list', { kind: 0, from: new Uint8Array(32) }, { from: { kind: 'member' } })),
    ).toBe('repairing');
  });

  it('in the data of an object is found when it is read', () => {
    ask('write', version(1, block));
    spoil(dataKey('object', object));
    restart();
    expect(
      refusal(ask('readVersion', { object, inlineSizeBytesMax: limits.inlineSizeBytesMax })),
    ).toBe('repairing');
    expect(replica.holdings.inspect({ kind: 'object', id: object })).toBe('damaged');
  });

  it('under what is remembered is found by the scrub, and harms no reader', () => {
    ask('write', version(1, block));
    spoil(dataKey('object', object));
    expect(
      ask('readVersion', { object, inlineSizeBytesMax: limits.inlineSizeBytesMax }).answer,
    ).toMatchObject({ value: { data: [block] } });
    expect(replica.holdings.inspect({ kind: 'object', id: object })).toBe('damaged');
  });

  it('of an object is mended by a version from the others', () => {
    ask('write', version(1, block));
    spoil(recordKey('object', object));
    restart();
    ask('readVersion', { object, inlineSizeBytesMax: 0 });
    const newer = version(2, new Uint8Array([2]));
    store.apply(replica.holdings.restoreObject(object, newer.header, newer.data));
    expect(ask('readVersion', { object, inlineSizeBytesMax: 10 }).answer).toMatchObject({
      value: { data: [newer.data] },
    });
  });

  it('of a block is mended by storing it again', () => {
    const id = blockId(block);
    ask('store', { block: id, data: block });
    spoil(dataKey('block', id));
    expect(refusal(ask('get', { block: id }))).toBe('repairing');
    expect(ask('store', { block: id, data: block }).effects.changes).toHaveLength(2);
    expect(ask('get', { block: id }).answer?.name).toBe('block');
    expect(replica.holdings.accounts.storedSizeBytes).toBe(block.length);
  });

  it('never lets a repair put an older version over a newer one', () => {
    ask('write', version(5, block));
    expect(replica.holdings.restoreObject(object, version(4, block).header, block)).toEqual([]);
    expect(replica.holdings.headerOf(object)?.version.counter).toBe(5);
  });

  it('found at the start is counted out and reported', () => {
    ask('write', version(1, block));
    ask('store', { block: blockId(block), data: block });
    spoil(recordKey('object', object));
    const { holdings } = fresh();
    expect(holdings.countStored('object', new Uint8Array(32)).damaged).toEqual([
      { kind: 'object', id: object },
    ]);
    expect(holdings.countStored('block', new Uint8Array(32)).damaged).toEqual([]);
    expect(holdings.accounts.items).toEqual({ object: 0, block: 1 });
  });
});

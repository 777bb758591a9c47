import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { type Bytes, concatBytes, emptyBytes, toHex, utf8 } from '../base/bytes.ts';
import { blockId, holdingProof, objectId } from './ids.ts';

/** The rule of docs/WIRE.md, written down again. */
function naive(tag: string, ...parts: Bytes[]): string {
  const name = utf8(`holdfast/${tag}/v1`);
  const framed = parts.map((part) => {
    const size = new Uint8Array(4);
    new DataView(size.buffer).setUint32(0, part.length, true);
    return concatBytes(size, part);
  });
  return createHash('sha256')
    .update(concatBytes(Uint8Array.of(name.length), name, ...framed))
    .digest('hex');
}

it.each([
  [
    'block of nothing',
    () => blockId(emptyBytes),
    'b284dce219c174ed1d7b83c7b1ec4cb161345f39a69437dcdc1352a98735f217',
  ],
  [
    'block',
    () => blockId(utf8('holdfast')),
    '109ffed158d0c7402964f82a21cee104f8c601bee52ff5be4c8399e02fdfba9c',
  ],
  [
    'object',
    () => objectId(new Uint8Array(32).fill(7)),
    'fbde45d067004e8d1188efd05bf506aa870cf94140362f778147b04d9c69634a',
  ],
  [
    'proof',
    () => holdingProof(new Uint8Array(32), utf8('holdfast')),
    'd8f0631ac857cdd1f3a50ae955507d58d3810f993db5b5a0df05cade0ee8a62f',
  ],
])('%s has the id of record', (_, id, expected) => {
  expect(toHex(id())).toBe(expected);
});

it('ids follow the written rule, and the kinds never meet', () => {
  const key = new Uint8Array(32).fill(7);
  expect(toHex(blockId(key))).toBe(naive('block', key));
  expect(toHex(objectId(key))).toBe(naive('object', key));
  expect(toHex(blockId(key))).not.toBe(toHex(objectId(key)));
});

it('a proof of holding is good for one challenge and one block', () => {
  const [a, b] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  const proof = toHex(holdingProof(a, utf8('data')));
  expect(proof).toBe(naive('holding', a, utf8('data')));
  expect(toHex(holdingProof(b, utf8('data')))).not.toBe(proof);
  expect(toHex(holdingProof(a, utf8('datA')))).not.toBe(proof);
  // The challenge's end and the data's beginning cannot change places.
  expect(toHex(holdingProof(a.slice(0, 31), concatBytes(Uint8Array.of(1), utf8('data'))))).not.toBe(
    proof,
  );
});

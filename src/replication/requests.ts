// Requests of clients: what their digest covers, how one signature carries many, and how a replica checks one. A replica
// checks every request itself, whatever channel brought it (the papers' "big MAC" attack lives on replicas that do not).

import { assert } from '../base/assert.ts';
import { type Bytes, equalBytes, mapKey } from '../base/bytes.ts';
import { signedBytes } from '../crypto/domains.ts';
import { taggedHash } from '../crypto/hash.ts';
import type { SignatureScheme, Signer } from '../crypto/signature.ts';
import { limits } from '../wire/limits.ts';
import type { OrderedRequest, SignedRequest } from '../wire/replication.ts';

/** Fixed part of an encoded request: client, number, kind, offset of the operation. */
const headerSizeBytes = 32 + 8 + 1 + 4;

/**
 * What a request asks for. A claim executes nothing: its number counts as used once it is executed, so that a client
 * that restarts knows where it may begin.
 */
export const requestKinds = { execute: 0, query: 1, claim: 2 } as const;

/** SSZ of an `OrderedRequest`, written out: this runs several times for every operation. */
export function encodeRequest({ client, number, kind, operation }: OrderedRequest): Bytes {
  const bytes = new Uint8Array(headerSizeBytes + operation.length);
  const view = new DataView(bytes.buffer);
  bytes.set(client, 0);
  view.setUint32(32, number >>> 0, true);
  view.setUint32(36, Math.floor(number / 2 ** 32), true);
  bytes[40] = kind;
  view.setUint32(41, headerSizeBytes, true);
  bytes.set(operation, headerSizeBytes);
  return bytes;
}

/** The digest that names a request: over the instance and the request, not over its proof or who shall reply. */
export function requestDigest(instance: Bytes, request: OrderedRequest): Bytes {
  return taggedHash('request', instance, encodeRequest(request));
}

/** Results up to so many bytes are compared with the last one before they are hashed. */
const comparedSizeBytesMax = 64;
let lastResult: { readonly outcome: number; readonly result: Bytes; readonly digest: Bytes } = {
  outcome: -1,
  result: new Uint8Array(0),
  digest: new Uint8Array(0),
};

/** The digest of a reply: over its outcome and the bytes of the result. Writes mostly have the same one again and again. */
export function resultDigest(outcome: number, result: Bytes): Bytes {
  if (outcome === lastResult.outcome && equalBytes(result, lastResult.result)) {
    return lastResult.digest;
  }
  const digest = taggedHash('result', Uint8Array.of(outcome), result);
  if (result.length <= comparedSizeBytesMax) lastResult = { outcome, result, digest };
  return digest;
}

/** Signs up to `limits.bundleRequestsMax` requests of one client at once. */
export function bundle(
  signer: Signer,
  instance: Bytes,
  requests: readonly OrderedRequest[],
): SignedRequest[] {
  const count = requests.length;
  assert(count >= 1 && count <= limits.bundleRequestsMax, 'a bundle has 1 … 1024 requests');
  const levels: Bytes[][] = [requests.map((request) => requestDigest(instance, request))];
  for (let level = levels[0] as Bytes[]; level.length > 1; ) {
    const above: Bytes[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const left = level[i] as Bytes;
      const right = level[i + 1];
      above.push(right === undefined ? left : taggedHash('bundle-node', left, right));
    }
    levels.push(above);
    level = above;
  }
  const root = levels.at(-1)?.[0] as Bytes;
  const signature = signer.sign(statementBytes(instance, count, root));
  return requests.map((request, index) => {
    const path = levels
      .slice(0, -1)
      .flatMap((level, height) => level[(index >>> height) ^ 1] ?? []);
    return { request, proof: { signature, count, index, path } };
  });
}

function statementBytes(instance: Bytes, count: number, root: Bytes): Bytes {
  return signedBytes({ purpose: 'client-bundle', system: instance, scope: count, body: root });
}

/** Whether it is of a kind that there is, and says no more than that kind does. */
export function isWellFormed({ kind, operation }: OrderedRequest): boolean {
  return kind < requestKinds.claim || (kind === requestKinds.claim && operation.length === 0);
}

/** A root that was found signed. */
interface Signed {
  readonly client: Bytes;
  readonly count: number;
  readonly signature: Bytes;
}

/** Signed roots kept twice over: a request comes from its client, in a batch, and in batches of later views. */
const signedRootsMax = 16_384;

export class RequestVerifier {
  readonly #scheme: SignatureScheme;
  readonly #instance: Bytes;
  /** Roots found signed. When the younger half is full it becomes the older one, which is forgotten. */
  #young = new Map<string, Signed>();
  #old = new Map<string, Signed>();

  constructor(scheme: SignatureScheme, instance: Bytes) {
    this.#scheme = scheme;
    this.#instance = instance;
  }

  /**
   * The request's digest, or undefined when its proof is not exactly right. What was verified before saves work but
   * changes no answer: a proof that is accepted here is accepted by every other member too.
   */
  verify({ request, proof }: SignedRequest): Bytes | undefined {
    const { count, index, path, signature } = proof;
    if (count < 1 || count > limits.bundleRequestsMax || index >= count) return undefined;
    if (!isWellFormed(request)) return undefined;
    const digest = requestDigest(this.#instance, request);
    const root = rootOf(digest, count, index, path);
    if (root === undefined) return undefined;
    return this.#isSigned(root, { client: request.client, count, signature }) ? digest : undefined;
  }

  #isSigned(root: Bytes, claim: Signed): boolean {
    const key = mapKey(root);
    const known = this.#young.get(key) ?? this.#old.get(key);
    if (known !== undefined && isSame(known, claim)) return true;
    const statement = statementBytes(this.#instance, claim.count, root);
    if (!this.#scheme.verify(claim.client, statement, claim.signature)) return false;
    if (this.#young.size >= signedRootsMax / 2) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, claim);
    return true;
  }
}

function isSame(a: Signed, b: Signed): boolean {
  return (
    a.count === b.count && equalBytes(a.signature, b.signature) && equalBytes(a.client, b.client)
  );
}

/** The root above a leaf; undefined when the path is too short or too long. A node without a partner is promoted. */
function rootOf(
  leaf: Bytes,
  count: number,
  index: number,
  path: readonly Bytes[],
): Bytes | undefined {
  let node = leaf;
  let used = 0;
  for (let width = count, at = index; width > 1; width = (width + 1) >>> 1, at >>>= 1) {
    const isLeft = at % 2 === 0;
    if (isLeft && at === width - 1) continue;
    const sibling = path[used];
    if (sibling === undefined) return undefined;
    used += 1;
    node = isLeft
      ? taggedHash('bundle-node', node, sibling)
      : taggedHash('bundle-node', sibling, node);
  }
  return used === path.length ? node : undefined;
}

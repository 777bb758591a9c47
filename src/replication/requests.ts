// Requests of clients: what their digest covers, how one signature carries many, and how a replica checks one. A replica
// checks every request itself, whatever channel brought it (the papers' "big MAC" attack lives on replicas that do not).

import { assert } from '../base/assert.ts';
import { type Bytes, equalBytes, mapKey } from '../base/bytes.ts';
import { signedBytes } from '../crypto/domains.ts';
import { taggedHash } from '../crypto/hash.ts';
import type { SignatureScheme, Signer } from '../crypto/signature.ts';
import { limits } from '../wire/limits.ts';
import type { OrderedRequest, RequestProof, SignedRequest } from '../wire/replication.ts';

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
  const levels: Bytes[][] = [
    requests.map((request) => taggedHash('bundle-leaf', requestDigest(instance, request))),
  ];
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

/** A place in a tree: `width` nodes are on its level. */
interface Place {
  readonly width: number;
  readonly index: number;
  /** Siblings of the path that the way up to here has used. */
  readonly used: number;
}

/** A node that was found to be under a right signature, and by which way. */
interface Verified extends Place {
  readonly client: Bytes;
  readonly proof: RequestProof;
}

/** Verified nodes kept twice over: of each bundle up to two for each request. */
const verifiedNodesMax = 65_536;

export class RequestVerifier {
  readonly #scheme: SignatureScheme;
  readonly #instance: Bytes;
  /** Nodes found right, by digest. When the younger half is full it becomes the older one, which is forgotten. */
  #young = new Map<string, Verified>();
  #old = new Map<string, Verified>();

  constructor(scheme: SignatureScheme, instance: Bytes) {
    this.#scheme = scheme;
    this.#instance = instance;
  }

  /**
   * The request's digest, or undefined when its proof is not exactly right. What was verified before saves work but
   * changes no answer: a proof that is accepted here is accepted by every other member too.
   */
  verify({ request, proof }: SignedRequest): Bytes | undefined {
    const { count, index, path } = proof;
    if (count < 1 || count > limits.bundleRequestsMax || index >= count) return undefined;
    if (!isWellFormed(request)) return undefined;
    const { client } = request;
    const digest = requestDigest(this.#instance, request);
    const passed: [string, Place][] = [];
    let node = taggedHash('bundle-leaf', digest);
    let place: Place = { width: count, index, used: 0 };
    for (;;) {
      const key = mapKey(node);
      if (this.#isVerified(key, client, proof, place)) break;
      passed.push([key, place]);
      if (place.width === 1) {
        if (place.used !== path.length) return undefined;
        const statement = statementBytes(this.#instance, count, node);
        if (!this.#scheme.verify(client, statement, proof.signature)) return undefined;
        break;
      }
      const above = nodeAbove(node, place, path);
      if (above === undefined) return undefined;
      [node, place] = above;
    }
    for (const [key, { width, index: at, used }] of passed) {
      this.#remember(key, { width, index: at, used, client, proof });
    }
    return digest;
  }

  /** Whether the same node was verified at the same place, with all above it the same. */
  #isVerified(
    key: string,
    client: Bytes,
    proof: RequestProof,
    { width, index, used }: Place,
  ): boolean {
    const known = this.#young.get(key) ?? this.#old.get(key);
    if (known === undefined || known.width !== width || known.index !== index) return false;
    const { count, signature, path } = known.proof;
    const rest = proof.path.length - used;
    if (count !== proof.count || rest !== path.length - known.used) return false;
    for (let i = 0; i < rest; i++) {
      if (!equalBytes(path[known.used + i] as Bytes, proof.path[used + i] as Bytes)) return false;
    }
    return equalBytes(signature, proof.signature) && equalBytes(known.client, client);
  }

  #remember(key: string, verified: Verified): void {
    if (this.#young.size >= verifiedNodesMax / 2) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, verified);
  }
}

/** The node above and its place; undefined when the path is too short. A node without a partner is promoted. */
function nodeAbove(
  node: Bytes,
  { width, index, used }: Place,
  path: readonly Bytes[],
): [Bytes, Place] | undefined {
  const above = { width: (width + 1) >>> 1, index: index >>> 1 };
  const isLeft = index % 2 === 0;
  if (isLeft && index === width - 1) return [node, { ...above, used }];
  const sibling = path[used];
  if (sibling === undefined) return undefined;
  const [left, right] = isLeft ? [node, sibling] : [sibling, node];
  return [taggedHash('bundle-node', left, right), { ...above, used: used + 1 }];
}

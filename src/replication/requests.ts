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

/** The digest of a reply: over its outcome and the bytes of the result. */
export function resultDigest(outcome: number, result: Bytes): Bytes {
  return taggedHash('result', Uint8Array.of(outcome), result);
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

/** The root that a proof leads to, or undefined when the path is not exactly as long as index and count imply. */
function rootOf(digest: Bytes, { count, index, path }: RequestProof): Bytes | undefined {
  if (count < 1 || count > limits.bundleRequestsMax || index >= count) return undefined;
  let node = taggedHash('bundle-leaf', digest);
  let place = index;
  let used = 0;
  for (let width = count; width > 1; width = (width + 1) >>> 1, place >>>= 1) {
    if (place === width - 1 && place % 2 === 0) continue;
    const sibling = path[used++];
    if (sibling === undefined) return undefined;
    node =
      place % 2 === 0
        ? taggedHash('bundle-node', node, sibling)
        : taggedHash('bundle-node', sibling, node);
  }
  return used === path.length ? node : undefined;
}

function isWellFormed({ kind, operation }: OrderedRequest): boolean {
  return kind < requestKinds.claim || (kind === requestKinds.claim && operation.length === 0);
}

interface Verified {
  readonly client: Bytes;
  readonly count: number;
  readonly signature: Bytes;
}

/** Verified roots kept twice over; about 250 bytes each. */
const verifiedRootsMax = 16_384;

export class RequestVerifier {
  readonly #scheme: SignatureScheme;
  readonly #instance: Bytes;
  /** Signatures found right, by root. When the younger half is full it becomes the older one, which is forgotten. */
  #young = new Map<string, Verified>();
  #old = new Map<string, Verified>();

  constructor(scheme: SignatureScheme, instance: Bytes) {
    this.#scheme = scheme;
    this.#instance = instance;
  }

  /** The request's digest, or undefined when its proof is not exactly right. */
  verify({ request, proof }: SignedRequest): Bytes | undefined {
    if (!isWellFormed(request)) return undefined;
    const digest = requestDigest(this.#instance, request);
    const root = rootOf(digest, proof);
    if (root === undefined) return undefined;
    const { count, signature } = proof;
    const key = mapKey(root);
    const known = this.#young.get(key) ?? this.#old.get(key);
    if (
      known !== undefined &&
      known.count === count &&
      equalBytes(known.signature, signature) &&
      equalBytes(known.client, request.client)
    ) {
      return digest;
    }
    const statement = statementBytes(this.#instance, count, root);
    if (!this.#scheme.verify(request.client, statement, signature)) return undefined;
    this.#remember(key, { client: request.client, count, signature });
    return digest;
  }

  #remember(root: string, verified: Verified): void {
    if (this.#young.size >= verifiedRootsMax / 2) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(root, verified);
  }
}

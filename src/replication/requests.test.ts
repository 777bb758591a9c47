import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Bytes, toHex, utf8 } from '../base/bytes.ts';
import { taggedHash } from '../crypto/hash.ts';
import { ed25519, type SignatureScheme } from '../crypto/signature.ts';
import { OrderedRequest, SignedRequest } from '../wire/replication.ts';
import { bundle, encodeRequest, RequestVerifier, requestDigest } from './requests.ts';

const instance = new Uint8Array(32).fill(9);
const signer = ed25519.signer(new Uint8Array(32).fill(1));
const other = ed25519.signer(new Uint8Array(32).fill(2));

function requestsOf(count: number, client: Bytes = signer.publicKey): OrderedRequest[] {
  return Array.from({ length: count }, (_, i) => ({
    client,
    number: i + 1,
    kind: i % 2,
    operation: utf8(`operation ${i}`),
  }));
}

/** Counts what is really checked. */
function counting(): SignatureScheme & { checks: number } {
  return {
    checks: 0,
    signer: ed25519.signer,
    verify(key, message, signature) {
      this.checks += 1;
      return ed25519.verify(key, message, signature);
    },
  };
}

describe('request digests', () => {
  it('are over the SSZ encoding and the instance', () => {
    fc.assert(
      fc.property(
        fc.record({
          client: fc.uint8Array({ minLength: 32, maxLength: 32 }),
          number: fc.maxSafeNat(),
          kind: fc.integer({ min: 0, max: 255 }),
          operation: fc.uint8Array({ maxLength: 100 }),
        }),
        (request) => {
          expect(toHex(encodeRequest(request))).toBe(toHex(OrderedRequest.serialize(request)));
          expect(toHex(requestDigest(instance, request))).toBe(
            toHex(taggedHash('request', instance, OrderedRequest.serialize(request))),
          );
        },
      ),
    );
  });
});

describe('bundles', () => {
  it.each([1, 2, 3, 4, 5, 7, 8, 9, 31, 100, 1023, 1024])('of %i verify, each alone', (count) => {
    const requests = requestsOf(count);
    const scheme = counting();
    const verifier = new RequestVerifier(scheme, instance);
    bundle(signer, instance, requests).forEach((signed, i) => {
      // What is bundled fits the wire.
      const travelled = SignedRequest.deserialize(SignedRequest.serialize(signed));
      const digest = verifier.verify(travelled);
      expect(digest && toHex(digest)).toBe(
        toHex(requestDigest(instance, requests[i] as OrderedRequest)),
      );
    });
    expect(scheme.checks).toBe(1);
  });

  it('cost no signature when seen again', () => {
    const scheme = counting();
    const verifier = new RequestVerifier(scheme, instance);
    const [signed] = bundle(signer, instance, requestsOf(1));
    for (let i = 0; i < 5; i++) expect(verifier.verify(signed as SignedRequest)).toBeDefined();
    expect(scheme.checks).toBe(1);
  });

  it('do not verify with anything changed', () => {
    const signed = bundle(signer, instance, requestsOf(5))[2] as SignedRequest;
    const { request, proof } = signed;
    const flipped = (bytes: Bytes): Bytes => bytes.map((byte, i) => (i === 3 ? byte ^ 1 : byte));
    const [first, ...rest] = proof.path;
    const wrong: Record<string, SignedRequest> = {
      client: { proof, request: { ...request, client: other.publicKey } },
      number: { proof, request: { ...request, number: request.number + 1 } },
      kind: { proof, request: { ...request, kind: 1 - request.kind } },
      operation: { proof, request: { ...request, operation: utf8('something else') } },
      signature: { request, proof: { ...proof, signature: flipped(proof.signature) } },
      index: { request, proof: { ...proof, index: 3 } },
      'index beyond': { request, proof: { ...proof, index: 5 } },
      count: { request, proof: { ...proof, count: 6 } },
      'count 0': { request, proof: { ...proof, count: 0 } },
      'count beyond': { request, proof: { ...proof, count: 1025 } },
      'path changed': { request, proof: { ...proof, path: [flipped(first as Bytes), ...rest] } },
      'path short': { request, proof: { ...proof, path: rest } },
      'path long': { request, proof: { ...proof, path: [...proof.path, first as Bytes] } },
    };
    for (const [name, each] of Object.entries(wrong)) {
      // Also when the right one is remembered.
      const verifier = new RequestVerifier(ed25519, instance);
      expect(verifier.verify(each), name).toBeUndefined();
      expect(verifier.verify(signed)).toBeDefined();
      expect(verifier.verify(each), name).toBeUndefined();
    }
  });

  it('get the same answer whatever was verified before', () => {
    const [all, others] = [
      bundle(signer, instance, requestsOf(21)),
      bundle(signer, instance, requestsOf(13)),
    ];
    const warm = new RequestVerifier(ed25519, instance);
    for (const signed of [...all, ...others]) warm.verify(signed);
    const any = fc.constantFrom(...all, ...others);
    fc.assert(
      fc.property(
        any,
        any,
        fc.nat(22),
        fc.nat(22),
        fc.nat(5),
        fc.nat(5),
        (a, b, count, index, cut, swap) => {
          const path = [...a.proof.path];
          const sibling = b.proof.path[swap];
          if (sibling !== undefined) path[swap] = sibling;
          path.length = Math.min(path.length, a.proof.path.length);
          for (const proof of [
            { ...a.proof, path },
            { ...a.proof, path: path.slice(0, cut) },
            { ...a.proof, path: [...path, ...b.proof.path.slice(cut)] },
            { ...a.proof, count, index },
            { ...a.proof, signature: b.proof.signature },
            b.proof,
          ]) {
            const cold = new RequestVerifier(ed25519, instance);
            const signed = { request: a.request, proof };
            expect(warm.verify(signed) === undefined).toBe(cold.verify(signed) === undefined);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('serve one instance only, and known kinds only', () => {
    const verifier = new RequestVerifier(ed25519, new Uint8Array(32).fill(8));
    expect(
      verifier.verify(bundle(signer, instance, requestsOf(1))[0] as SignedRequest),
    ).toBeUndefined();
    const odd = requestsOf(1).map((request) => ({ ...request, kind: 3 }));
    const claim = requestsOf(1).map((request) => ({ ...request, kind: 2 }));
    const empty = claim.map((request) => ({ ...request, operation: utf8('') }));
    const own = new RequestVerifier(ed25519, instance);
    expect(own.verify(bundle(signer, instance, odd)[0] as SignedRequest)).toBeUndefined();
    expect(own.verify(bundle(signer, instance, claim)[0] as SignedRequest)).toBeUndefined();
    expect(own.verify(bundle(signer, instance, empty)[0] as SignedRequest)).toBeDefined();
  });

  it('do not let one client speak for another under a remembered root', () => {
    const verifier = new RequestVerifier(ed25519, instance);
    // A bundle with a request of somebody else: the signer is not that client.
    const mixed = [...requestsOf(1), ...requestsOf(1, other.publicKey)];
    const [own, foreign] = bundle(signer, instance, mixed);
    expect(verifier.verify(own as SignedRequest)).toBeDefined();
    expect(verifier.verify(foreign as SignedRequest)).toBeUndefined();
  });
});

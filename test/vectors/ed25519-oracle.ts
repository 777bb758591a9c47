// Ed25519 verification from RFC 8032 alone, in plain big integers: slow, and sharing nothing with the library that the
// product uses. It tells apart the reasons for which verifiers disagree.

import { createHash } from 'node:crypto';
import { type Bytes, concatBytes } from '../../src/base/bytes.ts';

/** The field's prime. */
export const p = 2n ** 255n - 19n;
/** Order of the base point. */
export const groupOrder = 2n ** 252n + 27742317777372353535851937790883648493n;
const d = mod(-121665n * inverse(121666n));
const rootOfMinusOne = power(2n, (p - 1n) / 4n);

export interface Point {
  readonly x: bigint;
  readonly y: bigint;
}

export const identity: Point = { x: 0n, y: 1n };

function mod(value: bigint, modulus = p): bigint {
  const rest = value % modulus;
  return rest < 0n ? rest + modulus : rest;
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let b = mod(base), e = exponent; e > 0n; e >>= 1n, b = mod(b * b))
    if (e & 1n) result = mod(result * b);
  return result;
}

function inverse(value: bigint): bigint {
  return power(value, p - 2n);
}

export function numberOf(bytes: Bytes): bigint {
  return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

export function bytesOf(value: bigint): Bytes {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

/** Projective: x = X / Z, y = Y / Z, so that only the end needs an inverse. */
type Projective = readonly [x: bigint, y: bigint, z: bigint];

function sum([x1, y1, z1]: Projective, [x2, y2, z2]: Projective): Projective {
  const a = mod(z1 * z2);
  const b = mod(a * a);
  const c = mod(x1 * x2);
  const e = mod(y1 * y2);
  const f = mod(d * c * e);
  const [low, high] = [b - f, b + f];
  return [mod(a * low * ((x1 + y1) * (x2 + y2) - c - e)), mod(a * high * (c + e)), mod(low * high)];
}

function affine([x, y, z]: Projective): Point {
  const inverted = inverse(z);
  return { x: mod(x * inverted), y: mod(y * inverted) };
}

export function add(a: Point, b: Point): Point {
  return affine(sum([a.x, a.y, 1n], [b.x, b.y, 1n]));
}

export function multiply(scalar: bigint, point: Point): Point {
  let result: Projective = [0n, 1n, 1n];
  let doubled: Projective = [point.x, point.y, 1n];
  for (let s = scalar; s > 0n; s >>= 1n) {
    if (s & 1n) result = sum(result, doubled);
    doubled = sum(doubled, doubled);
  }
  return affine(result);
}

export function negate({ x, y }: Point): Point {
  return { x: mod(-x), y };
}

export function isIdentity({ x, y }: Point): boolean {
  return x === 0n && y === 1n;
}

export function isSmallOrder(point: Point): boolean {
  return isIdentity(multiply(8n, point));
}

export function encodePoint({ x, y }: Point): Bytes {
  return bytesOf(y | ((x & 1n) << 255n));
}

/** The point of an encoding, canonical or not; undefined when there is none on the curve. */
export function decodePoint(bytes: Bytes): Point | undefined {
  const value = numberOf(bytes);
  const y = mod(value & (2n ** 255n - 1n));
  const sign = value >> 255n;
  const u = mod(y * y - 1n);
  const v = mod(d * y * y + 1n);
  let x = mod(u * v ** 3n * power(mod(u * v ** 7n), (p - 5n) / 8n));
  if (mod(v * x * x) === mod(-u)) x = mod(x * rootOfMinusOne);
  if (mod(v * x * x) !== u) return undefined;
  return { x: (x & 1n) === sign ? x : mod(-x), y };
}

export const basePoint = decodePoint(bytesOf(mod(4n * inverse(5n)))) as Point;

export function sha512(...parts: Bytes[]): bigint {
  return numberOf(
    createHash('sha512')
      .update(concatBytes(...parts))
      .digest(),
  );
}

/** Everything that a verifier may look at. */
export interface Findings {
  readonly lengths: boolean;
  /** S is below the order of the base point: otherwise S + order would be a second signature. */
  readonly scalarReduced: boolean;
  readonly onCurve: boolean;
  readonly canonicalA: boolean;
  readonly canonicalR: boolean;
  readonly smallOrderA: boolean;
  readonly smallOrderR: boolean;
  /** A, and R, lie in the group that the base point makes: nothing of small order is mixed in. */
  readonly pureA: boolean;
  readonly pureR: boolean;
  /** S B = R + h A, exactly, only after multiplication by the cofactor 8, or not at all. */
  readonly equation: 'exact' | 'cofactored' | 'fails';
}

export function examine(publicKey: Bytes, message: Bytes, signature: Bytes): Findings {
  const none = {
    lengths: false,
    scalarReduced: false,
    onCurve: false,
    canonicalA: false,
    canonicalR: false,
    smallOrderA: false,
    smallOrderR: false,
    pureA: false,
    pureR: false,
    equation: 'fails',
  } as const;
  if (publicKey.length !== 32 || signature.length !== 64) return none;
  const [encodedR, s] = [signature.slice(0, 32), numberOf(signature.slice(32))];
  const scalarReduced = s < groupOrder;
  const [a, r] = [decodePoint(publicKey), decodePoint(encodedR)];
  if (a === undefined || r === undefined) return { ...none, lengths: true, scalarReduced };
  const h = sha512(encodedR, publicKey, message) % (8n * groupOrder);
  const difference = add(multiply(s, basePoint), negate(add(r, multiply(h, a))));
  return {
    lengths: true,
    scalarReduced,
    onCurve: true,
    canonicalA: numberOf(encodePoint(a)) === numberOf(publicKey),
    canonicalR: numberOf(encodePoint(r)) === numberOf(encodedR),
    smallOrderA: isSmallOrder(a),
    smallOrderR: isSmallOrder(r),
    pureA: isIdentity(multiply(groupOrder, a)),
    pureR: isIdentity(multiply(groupOrder, r)),
    equation: isIdentity(difference) ? 'exact' : isSmallOrder(difference) ? 'cofactored' : 'fails',
  };
}

/**
 * The strictest verdict: everything canonical, nothing of small order, alone or mixed in, and the equation exact. What
 * passes this passes every verifier that follows RFC 8032, with or without the cofactor.
 */
export function strictVerdict(findings: Findings): boolean {
  const { lengths, scalarReduced, onCurve, canonicalA, canonicalR } = findings;
  const { smallOrderA, smallOrderR, pureA, pureR, equation } = findings;
  const canonical = lengths && scalarReduced && onCurve && canonicalA && canonicalR;
  return canonical && pureA && pureR && !smallOrderA && !smallOrderR && equation === 'exact';
}

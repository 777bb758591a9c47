// Sets of up to 49 members as bits, in two words because JavaScript's bit operations have 32.

/** Members by index. Counting is kept along, because every vote asks for it. */
export class MemberSet {
  #low = 0;
  #high = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(member: number): boolean {
    return member < 32
      ? ((this.#low >>> member) & 1) === 1
      : ((this.#high >>> (member - 32)) & 1) === 1;
  }

  /** @returns false when the member was there already. */
  add(member: number): boolean {
    if (this.has(member)) return false;
    if (member < 32) this.#low |= 1 << member;
    else this.#high |= 1 << (member - 32);
    this.#size++;
    return true;
  }

  remove(member: number): void {
    if (!this.has(member)) return;
    if (member < 32) this.#low &= ~(1 << member);
    else this.#high &= ~(1 << (member - 32));
    this.#size--;
  }

  clear(): void {
    this.#low = 0;
    this.#high = 0;
    this.#size = 0;
  }

  /** Bit i is member i: below 2^49, so exact. */
  toNumber(): number {
    return (this.#low >>> 0) + this.#high * 2 ** 32;
  }
}

/** Whether bit `member` is set in what `toNumber` gave, or a peer claims it gave. */
export function isInNumber(set: number, member: number): boolean {
  return Math.floor(set / 2 ** member) % 2 === 1;
}

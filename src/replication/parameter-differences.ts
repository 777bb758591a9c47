// Which members run with other values of what all must have the same: somebody has to hear of it before the group stops, or
// answers wrongly, over it.

type Value = string | number | boolean;

export class ParameterDifferences {
  readonly #own: ReadonlyArray<readonly [string, Value]>;
  /** By member, what it said last, where that differs. */
  readonly #found = new Map<number, string>();
  /** Members that were told of: a liar may say something else every time. */
  readonly #told = new Set<number>();

  /** @param own what all members must have the same, by name. */
  constructor(own: Readonly<Record<string, Value>>) {
    this.#own = Object.entries(own);
  }

  /**
   * Takes what a member says of itself.
   * @param theirs in the order of the own values.
   * @returns whether it is the first time that this member says something else.
   */
  note(member: number, theirs: readonly Value[]): boolean {
    let said = '';
    this.#own.forEach(([name, own], i) => {
      const their = theirs[i];
      if (their !== own) said += `${said === '' ? '' : ', '}${name} ${their}, here ${own}`;
    });
    if (said === '') {
      if (this.#found.size > 0) this.#found.delete(member);
      return false;
    }
    this.#found.set(member, `member ${member} has ${said}`);
    if (this.#told.has(member)) return false;
    this.#told.add(member);
    return true;
  }

  /** What was found, for people, by ascending member; empty while nothing is. */
  get all(): readonly string[] {
    return [...this.#found].sort(([a], [b]) => a - b).map(([, said]) => said);
  }
}

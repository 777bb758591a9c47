// What commands print. Answers go to standard output, everything else to the error stream; JSON replaces the words.

import { once } from 'node:events';
import Table from 'cli-table3';
import picocolors from 'picocolors';
import type { Colors } from 'picocolors/types.js';
import type { Bytes } from '../base/bytes.ts';
import type { Context, GlobalOptions, Output } from './context.ts';

/** Colours only on a terminal, and not when the user asked for none (no-color.org). */
export function colorsFor(output: Output, env: Context['env']): Colors {
  const isWanted = output.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
  return picocolors.createColors(isWanted);
}

export class Printer {
  readonly colors: Colors;
  readonly #context: Context;
  readonly #options: GlobalOptions;

  constructor(context: Context, options: GlobalOptions) {
    this.#context = context;
    this.#options = options;
    this.colors = colorsFor(context.stdout, context.env);
  }

  get isJson(): boolean {
    return this.#options.json;
  }

  /** One answer: `value` as one line of JSON, or the words. */
  answer(value: unknown, words: string): void {
    this.#context.stdout.write(this.isJson ? `${JSON.stringify(value)}\n` : `${words}\n`);
  }

  /** What a command without an answer has done: words for people, `value` as one line of JSON for programs. */
  done(value: unknown, words: string): void {
    if (this.isJson) this.answer(value, '');
    else this.note(words);
  }

  /** For people only; not with --json or --quiet. */
  note(words: string): void {
    if (!this.isJson && !this.#options.quiet) this.#context.stderr.write(`${words}\n`);
  }

  debug(words: string): void {
    if (this.#options.debug) this.#context.stderr.write(`holdfast: ${words}\n`);
  }

  /** A note for a person who looks at the answer on a terminal; a script sees the bare answer. */
  hint(words: string): void {
    if (this.#context.stdout.isTTY === true) this.note(words);
  }

  /** Content as it is, no faster than the reader takes it. */
  async bytes(chunks: AsyncIterable<Bytes>): Promise<void> {
    const { stdout } = this.#context;
    for await (const chunk of chunks) {
      if (!stdout.write(chunk)) await once(stdout, 'drain');
    }
  }
}

/** Columns without lines between them. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const none = {
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    bottom: '',
    'bottom-mid': '',
    'bottom-left': '',
    'bottom-right': '',
    left: '',
    'left-mid': '',
    mid: '',
    'mid-mid': '',
    right: '',
    'right-mid': '',
    middle: '  ',
  };
  const made = new Table({
    chars: none,
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
    head: [...head],
  });
  for (const row of rows) made.push([...row]);
  return made
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

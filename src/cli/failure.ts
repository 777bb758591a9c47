// How a command's failure looks, to a person and to a program.

import { CommanderError } from 'commander';
import type { Colors } from 'picocolors/types.js';
import { HoldfastError } from '../base/errors.ts';

export interface FailureStyle {
  readonly json: boolean;
  /** With the stack. */
  readonly debug: boolean;
  readonly colors: Colors;
}

/** "error: unknown command 'pt'\n(Did you mean put?)" as sentences. */
function usageMessage(text: string): string {
  return text
    .replace(/^error: /, '')
    .replace(/\n\((Did you mean .*)\)$/, '. $1')
    .replaceAll('\n', ' ');
}

/** Whatever was thrown as an error of the public interface. */
export function asHoldfastError(thrown: unknown): HoldfastError {
  if (thrown instanceof HoldfastError) return thrown;
  if (thrown instanceof CommanderError) {
    return new HoldfastError('usage', usageMessage(thrown.message), {
      cure: 'See "holdfast --help", or "holdfast COMMAND --help".',
    });
  }
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new HoldfastError('internal', `an unexpected error: ${reason}`, {
    cure: 'This is a bug in Holdfast: run the command again with --debug and report what it prints.',
    cause: thrown,
  });
}

function stackOf(error: HoldfastError): string {
  const parts = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause)
    parts.push(at.stack ?? at.message);
  return parts.join('\ncaused by: ');
}

const asSentence = (text: string): string => (/[.!?)]$/.test(text) ? text : `${text}.`);

/** What goes to the error stream. Ends with a line break. */
export function formatFailure(error: HoldfastError, style: FailureStyle): string {
  const { code, message, cure, details } = error;
  if (style.json) {
    const stack = style.debug ? { stack: stackOf(error) } : {};
    return `${JSON.stringify({ error: { code, message, cure, details, ...stack } })}\n`;
  }
  const { red, bold, dim } = style.colors;
  const lines = [`${bold('holdfast:')} ${red(asSentence(message))}`];
  if (cure !== undefined) lines.push(`  → ${cure}`);
  if (style.debug) lines.push(dim(stackOf(error)));
  return `${lines.join('\n')}\n`;
}

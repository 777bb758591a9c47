// What holds for the parameters of every engine: known names, values of their types, whole numbers.

import { HoldfastError } from '../base/errors.ts';

/**
 * @param given as an application names them.
 * @param defaults all that there are, with values of the right type.
 * @throws HoldfastError `bad-configuration` that names the parameter.
 */
export function checkShape(given: object, defaults: object): void {
  const known = new Map<string, unknown>(Object.entries(defaults));
  for (const [name, value] of Object.entries(given)) {
    if (!known.has(name))
      throw bad(name, 'is no parameter', `There are ${[...known.keys()].join(', ')}.`);
    const wanted = typeof known.get(name);
    if (typeof value !== wanted) {
      throw bad(name, `must be a ${wanted}, not ${String(value)}`, 'Leave it out for the default.');
    }
    if (typeof value === 'number' && !(Number.isSafeInteger(value) && value >= 0)) {
      throw bad(name, `must be a whole number, 0 or more, not ${value}`, 'Correct the parameter.');
    }
  }
}

function bad(name: string, what: string, cure: string): HoldfastError {
  return new HoldfastError('bad-configuration', `${name} ${what}`, { cure, details: { name } });
}

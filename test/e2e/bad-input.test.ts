// Being written: see the git log.
import { it } from 'vitest';

it('is being written', () => {});

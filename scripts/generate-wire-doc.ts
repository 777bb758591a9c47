// Writes the generated parts of docs/WIRE.md anew: `npm run docs:wire`.

import { readFileSync, writeFileSync } from 'node:fs';
import { regenerated } from './wire-doc/sections.ts';

const path = new URL('../docs/WIRE.md', import.meta.url);
writeFileSync(path, regenerated(readFileSync(path, 'utf8')));

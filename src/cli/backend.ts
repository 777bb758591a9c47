// Stands in for the server assembly until it is there.

import { HoldfastError } from '../base/errors.ts';
import type { RunServer } from '../server/process.ts';

export const runServer: RunServer = () =>
  Promise.reject(new HoldfastError('internal', 'the server is not assembled yet'));

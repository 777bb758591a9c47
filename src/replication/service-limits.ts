// What bounds a service, told to those who write one.

import { limits } from '../wire/limits.ts';

const {
  operationSizeBytesMax,
  resultSizeBytesMax,
  pageSizeBytesMax,
  pagesMax,
  agreedSizeBytesMax,
} = limits;

/** The bounds of what a service takes and gives. They are the same for all groups and engines. */
export const serviceLimits: {
  /** One operation, in bytes. A client refuses a longer one with `over-limit`. */
  readonly operationSizeBytesMax: number;
  /** One result of `execute` or `query`, in bytes. A service that gives more stops its replica. */
  readonly resultSizeBytesMax: number;
  /** One page, in bytes. A service that writes more stops its replica. */
  readonly pageSizeBytesMax: number;
  /** Pages are numbered 0 … pagesMax - 1. */
  readonly pagesMax: number;
  /** What `propose` gives for one batch, in bytes. A service that gives more stops its replica. */
  readonly agreedSizeBytesMax: number;
} = Object.freeze({
  operationSizeBytesMax,
  resultSizeBytesMax,
  pageSizeBytesMax,
  pagesMax,
  agreedSizeBytesMax,
});

// The package's public interface. docs/CLIENT.md describes it; examples/ uses it.

export { type ErrorCode, exitCodes, HoldfastError } from '../base/errors.ts';
export { type ConnectOptions, connect } from './connect.ts';
export type * from './contract.ts';

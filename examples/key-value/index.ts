export * from './codec.ts';
export { KeyValueStore } from './service.ts';

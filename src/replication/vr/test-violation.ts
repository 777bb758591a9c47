/** What must never happen has happened in a test of this folder. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/** A broken invariant: a defect of ours. Nothing catches it; the thread that meets it fails. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

/** @throws InvariantError when `condition` is false. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(message)
}

/**
 * Takes the failure of a promise that nobody waits for and that cannot fail but by a defect: the
 * thread dies of it, as it does of any other.
 */
export function crash(error: unknown): void {
  setImmediate(() => {
    throw error
  })
}

/** Marks the arm of a switch that the types say cannot be reached. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable: ${JSON.stringify(value)}`)
}

// The only waits in the program. A waiter loads the word, tests its condition, and only then waits
// for the word to change from what it loaded: the other order loses a wake-up.

/** Blocks this thread until the word is no longer `seen`, or `timeoutMs` have passed. */
export function waitForChange(
  words: Int32Array,
  word: number,
  seen: number,
  timeoutMs = Number.POSITIVE_INFINITY,
): void {
  Atomics.wait(words, word, seen, timeoutMs)
}

/**
 * Resolves when the word is no longer `seen`, without blocking; undefined when it already is not.
 */
export function whenChanged(
  words: Int32Array,
  word: number,
  seen: number,
): Promise<unknown> | undefined {
  const waiting = Atomics.waitAsync(words, word, seen)
  return waiting.async ? waiting.value : undefined
}

/** Changes the word, which wraps at 32 bits, and wakes everyone who waits on it. */
export function ring(words: Int32Array, word: number): void {
  Atomics.add(words, word, 1)
  Atomics.notify(words, word)
}

import { syncBuiltinESMExports } from 'node:module'
import workerThreads, { type Worker } from 'node:worker_threads'

/**
 * Every thread that this one starts while `run` does, in order: so that a test can kill a real one.
 * A store starts its reader threads first, then one thread a shard; a shard its flusher, then the
 * thread of its write-back.
 */
export async function withThreads(run: (threads: readonly Worker[]) => Promise<void>) {
  const threads: Worker[] = []
  const Original = workerThreads.Worker
  workerThreads.Worker = class extends Original {
    constructor(...parts: ConstructorParameters<typeof Original>) {
      super(...parts)
      threads.push(this)
    }
  }
  syncBuiltinESMExports()
  try {
    await run(threads)
  } finally {
    workerThreads.Worker = Original
    syncBuiltinESMExports()
  }
}

import { appendFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { isMainThread } from 'node:worker_threads'

// Preloaded into every thread of a measured service (`node --import`): each notes what it does
// beside its kernel thread id, which is all that /proc knows it by.

const file = process.env['VARVE_BENCH_THREADS']

/** Returns the first argument of a pool's thread, or the name of its script. */
function role(): string {
  if (isMainThread) return 'front end'
  const [, script = '', given] = process.argv
  return given ?? basename(script, '.js')
}

if (file !== undefined) {
  // "PID/task/TID"
  const id = basename(readlinkSync('/proc/thread-self'))
  appendFileSync(file, `${id} ${role()}\n`)
}

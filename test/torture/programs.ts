import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Trial } from './trial.ts'

/** The compiled tests, and the project that they belong to. */
const TESTS = resolve(import.meta.dirname, '..')
const PROJECT = resolve(TESTS, '../..')

/**
 * Runs a test program that prints rows of JSON to its end and returns the rows. Its exit code is
 * not looked at, because the rows say what failed; ended with the trial.
 * @throws when it printed no row
 */
export async function rowsOf<Row>(
  trial: Trial,
  program: string,
  args: readonly string[],
): Promise<Row[]> {
  const child = spawn(process.execPath, [resolve(TESTS, program), ...args], {
    cwd: PROJECT,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // leads a group, so that what it started ends with it
  })
  trial.defer(() => {
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL')
    } catch {
      // It has ended.
    }
  })
  const ended = once(child, 'close')
  const [printed, complaints] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  const rows = printed.split('\n').filter(line => line.startsWith('{'))
  if (rows.length === 0) throw new Error(`${program} printed no row: ${complaints.slice(-300)}`)
  return rows.map(row => JSON.parse(row) as Row)
}

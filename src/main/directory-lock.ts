import { spawnSync } from 'node:child_process'
import { closeSync, constants, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { StoreError } from '../shared/errors.ts'
import { LOCK_PATH } from '../shared/format/paths.ts'

/** What `flock -n` exits with when another process holds the lock. */
const FLOCK_HELD = 1

/**
 * One process on a data directory, for its life. The lock belongs to an open file that this process
 * shares with a short-lived `flock`; the kernel frees it when the process ends, however it ends.
 */
export class DirectoryLock {
  readonly #file: number
  /** Why the directory could not be locked, where `flock` is missing; for the log. */
  readonly warning: string | undefined

  private constructor(file: number, warning: string | undefined) {
    this.#file = file
    this.warning = warning
  }

  /** Creates the directory where it is missing. @throws StoreError when another process holds it */
  static take(data: string): DirectoryLock {
    mkdirSync(data, { recursive: true, mode: 0o700 })
    // Touches nothing that another process has there.
    const flags = constants.O_RDWR | constants.O_CREAT
    const file = openSync(join(data, LOCK_PATH), flags, 0o600)
    const { error, status, stderr } = spawnSync('flock', ['-n', '-x', '3'], {
      stdio: ['ignore', 'ignore', 'pipe', file],
      encoding: 'utf8',
    })
    if (error === undefined && status === 0) return new DirectoryLock(file, undefined)
    if (status === FLOCK_HELD && stderr === '') {
      closeSync(file)
      throw new StoreError(
        'invalid_request',
        `another process is serving the data directory ${data}`,
      )
    }
    const reason = error?.message ?? stderr.trim()
    return new DirectoryLock(file, `the directory is not locked, flock does not work: ${reason}`)
  }

  release(): void {
    closeSync(this.#file)
  }
}

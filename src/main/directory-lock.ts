import { closeSync, constants, mkdirSync, openSync, readdirSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { StoreError } from '../shared/errors.ts'
import {
  HEADER_COPY_PATH,
  HEADER_PATH,
  INITIALISING_PATH,
  LOCK_PATH,
} from '../shared/format/paths.ts'

// One process uses a data directory at a time. Without the lock nothing in it is touched.
//
// - It is a kernel lock (OFD on Linux) on an open file, so it ends with the process, however that
//   ends. A leftover lock file does not lock. Removing the lock file of a running process does not
//   unlock, because varve.json is locked too.
// - A directory that cannot be locked is not served, whatever the reason.
// - In a directory with other content no lock file is made.

/** A data directory has one of these from the first step of its layout on. */
const OUR_PATHS = [
  LOCK_PATH,
  HEADER_PATH,
  HEADER_COPY_PATH,
  INITIALISING_PATH,
  `${INITIALISING_PATH}.tmp`,
]

/** Locks a range of a file; false when another open file holds it. @throws Error of the system */
type TryLock = (file: number, offset: number, length: number) => boolean

/** Beyond the content, so that even a mandatory lock keeps no reader out. */
const LOCKED_AT = 2 ** 40

export class DirectoryLock {
  readonly #data: string
  /** Open files by their paths. */
  readonly #files = new Map<string, number>()
  /** Whether the directory was empty, so that a new store will be laid out. */
  readonly isNew: boolean

  private constructor(data: string, isNew: boolean) {
    this.#data = data
    this.isNew = isNew
  }

  /**
   * Locks `data`, creating the directory where only the last part of its path is missing.
   * @throws StoreError invalid_request when another process holds it, or when it cannot be locked
   */
  static take(data: string): DirectoryLock {
    const tryLock = loadTryLock(data)
    attempt(data, 'created', () => makeDirectory(data))
    const names = attempt(data, 'read', () => readdirSync(data))
    if (names.length > 0 && !names.some(name => OUR_PATHS.includes(name))) {
      throw refusal(
        data,
        `it is not empty and has no ${HEADER_PATH}; choose another directory, or restore that file`,
      )
    }
    const lock = new DirectoryLock(data, names.length === 0)
    try {
      lock.#hold(LOCK_PATH, constants.O_CREAT, tryLock)
      if (names.includes(HEADER_PATH) && isFile(join(data, HEADER_PATH))) {
        lock.#hold(HEADER_PATH, 0, tryLock)
      }
    } catch (error) {
      lock.release()
      throw error
    }
    return lock
  }

  /**
   * Locks varve.json again, because the layout may have replaced it. Somebody may take the lock
   * file of a running process for a leftover and remove it, but nobody removes varve.json.
   */
  holdHeader(): void {
    this.#hold(HEADER_PATH, 0, loadTryLock(this.#data))
  }

  release(): void {
    for (const file of this.#files.values()) closeSync(file)
    this.#files.clear()
  }

  #hold(path: string, flags: number, tryLock: TryLock): void {
    const data = this.#data
    const full = join(data, path)
    const before = this.#files.get(path)
    if (before !== undefined) {
      this.#files.delete(path)
      closeSync(before) // its lock would exclude this process too
    }
    const file = attempt(data, 'locked', () => openSync(full, constants.O_RDWR | flags, 0o600))
    this.#files.set(path, file)
    if (attempt(data, 'locked', () => tryLock(file, LOCKED_AT, 1))) return
    const detail = `another process is serving the data directory ${data}; stop it first`
    throw new StoreError('invalid_request', detail)
  }
}

/** Loads the native package late, so that commands without a lock work where it has no binary. */
function loadTryLock(data: string): TryLock {
  const require = createRequire(import.meta.url)
  try {
    return (require('fs-native-extensions') as { tryLock: TryLock }).tryLock
  } catch (error) {
    const platform = `${process.platform}-${process.arch}`
    throw refusal(
      data,
      `it cannot be locked: fs-native-extensions has no binary for ${platform}`,
      error,
    )
  }
}

/** A start moves a directory in the place of varve.json aside, so that one needs no lock. */
function isFile(path: string): boolean {
  return statSync(path).isFile()
}

function makeDirectory(data: string): void {
  try {
    mkdirSync(data, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return
    throw error
  }
}

/** Runs `act`, and wraps a failure in one that names the directory and the next step. */
function attempt<Result>(data: string, what: string, act: () => Result): Result {
  try {
    return act()
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException
    const reason = REASONS[code]?.(data) ?? message
    throw refusal(data, `it cannot be ${what}: ${reason}`, error)
  }
}

const DENIED = 'permission denied; this process needs to read and write it'

const REASONS: Readonly<Record<string, (data: string) => string>> = {
  ENOENT: data => `there is no ${dirname(data)}; mount or create it first`,
  ENOTDIR: () => 'it is not a directory',
  EACCES: () => DENIED,
  EPERM: () => DENIED,
  EROFS: () => 'the file system is read-only',
  ENOSPC: () => 'the disk is full',
  ENOLCK: () => 'its file system has no locks; choose one on a local disk',
  EOPNOTSUPP: () => 'its file system has no locks; choose one on a local disk',
}

function refusal(data: string, reason: string, cause?: unknown): StoreError {
  const message = `the data directory ${data} cannot be used: ${reason}`
  return new StoreError('invalid_request', message, {}, cause)
}

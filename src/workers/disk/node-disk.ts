import * as fs from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Disk, DiskError, type FileMode } from './disk.ts'
import type { SyncStep } from './sync-steps.ts'

const FLAGS: Readonly<Record<FileMode, number | undefined>> = {
  read: fs.constants.O_RDONLY,
  update: fs.constants.O_RDWR,
  direct: directFlags(),
  create: fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_TRUNC,
}
const MISSING: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR'])
const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700
/** More would only wait: Node has four threads for all of them, if no more are asked for. */
const SYNCS_AT_ONCE = 16

const fdatasync = promisify(fs.fdatasync)
const fsync = promisify(fs.fsync)

/** The real file system below `root`; the only place of the engine that touches node:fs. */
export class NodeDisk implements Disk {
  readonly #root: string
  /** Paths of open files, for errors. */
  readonly #open = new Map<number, string>()

  constructor(root: string) {
    this.#root = root
  }

  open(path: string, mode: FileMode): number {
    const flags = FLAGS[mode]
    if (flags === undefined) throw new DiskError('ENOTSUP', 'open', path)
    const file = this.#do('open', path, full => fs.openSync(full, flags, FILE_MODE))
    this.#open.set(file, path)
    return file
  }

  close(file: number): void {
    this.#open.delete(file)
    release(file)
  }

  read(file: number, target: Buffer, position: number): number {
    return this.#on('read', file, () => fs.readSync(file, target, 0, target.length, position))
  }

  write(file: number, source: Buffer, position: number): number {
    return this.#on('write', file, () => fs.writeSync(file, source, 0, source.length, position))
  }

  size(file: number): number {
    return this.#on('size', file, () => fs.fstatSync(file).size)
  }

  truncate(file: number, size: number): void {
    this.#on('truncate', file, () => fs.ftruncateSync(file, size))
  }

  sync(file: number): void {
    this.#on('sync', file, () => fs.fdatasyncSync(file))
  }

  syncDirectory(path: string): void {
    const directory = this.#openDirectory(path)
    try {
      this.#do('syncDirectory', path, () => fs.fsyncSync(directory))
    } finally {
      release(directory)
    }
  }

  /**
   * Makes files and directories durable, many at once. Every sync has ended when it returns.
   * @throws DiskError of a failed sync, if one failed; else of a directory that cannot be opened
   */
  async syncTogether({ files, directories }: SyncStep): Promise<void> {
    const waiting = [
      ...files.map(file => () => this.#syncFile(file)),
      ...directories.map(path => () => this.#syncDirectory(path)),
    ]
    const failures: DiskError[] = []
    const work = async (): Promise<void> => {
      for (let sync = waiting.pop(); sync !== undefined; sync = waiting.pop()) {
        const failure = await sync()
        if (failure !== undefined) failures.push(failure)
      }
    }
    await Promise.all(Array.from({ length: Math.min(SYNCS_AT_ONCE, waiting.length) }, work))
    const [first] = failures
    if (first !== undefined) throw failures.find(({ isSync }) => isSync) ?? first
  }

  async #syncFile(file: number): Promise<DiskError | undefined> {
    try {
      await fdatasync(file)
      return undefined
    } catch (error) {
      return new DiskError(errno(error), 'sync', this.#open.get(file) ?? `file ${file}`, error)
    }
  }

  async #syncDirectory(path: string): Promise<DiskError | undefined> {
    let directory: number
    try {
      directory = this.#openDirectory(path)
    } catch (error) {
      if (error instanceof DiskError) return error
      throw error
    }
    try {
      await fsync(directory)
      return undefined
    } catch (error) {
      return new DiskError(errno(error), 'syncDirectory', path, error)
    } finally {
      release(directory)
    }
  }

  /** Opens a directory; a failure is one of `open`, for nothing was synced yet. */
  #openDirectory(path: string): number {
    const flags = fs.constants.O_RDONLY | fs.constants.O_DIRECTORY
    return this.#do('open', path, full => fs.openSync(full, flags))
  }

  exists(path: string): boolean {
    return this.#do('look up', path, full => {
      try {
        fs.statSync(full)
        return true
      } catch (error) {
        // What cannot be looked at (EACCES, EIO) is not taken for missing.
        if (!MISSING.has(errno(error))) throw error
        return false
      }
    })
  }

  list(path: string): string[] {
    return this.#do('list', path, full => fs.readdirSync(full).sort())
  }

  makeDirectory(path: string): void {
    this.#do('makeDirectory', path, full => {
      if (fs.existsSync(full)) return
      try {
        fs.mkdirSync(full, DIRECTORY_MODE)
      } catch (error) {
        if (errno(error) !== 'EEXIST') throw error // another shard's thread was faster
      }
    })
  }

  rename(from: string, to: string): void {
    this.#do('rename', from, full => fs.renameSync(full, join(this.#root, to)))
  }

  remove(path: string): void {
    this.#do('remove', path, full => fs.unlinkSync(full))
  }

  removeDirectory(path: string): void {
    this.#do('removeDirectory', path, full => fs.rmdirSync(full))
  }

  freeBytes(): number {
    return this.#do('freeBytes', '', full => {
      const { bavail, bsize } = fs.statfsSync(full)
      return bavail * bsize
    })
  }

  #on<Result>(operation: string, file: number, act: () => Result): Result {
    return this.#do(operation, this.#open.get(file) ?? `file ${file}`, act)
  }

  #do<Result>(operation: string, path: string, act: (full: string) => Result): Result {
    try {
      return act(join(this.#root, path))
    } catch (error) {
      throw new DiskError(errno(error), operation, path, error)
    }
  }
}

/**
 * Closes a file. A close that fails leaves nothing to do: the descriptor is free all the same, and
 * may be another file's by now, so closing it again would close that. What had to be durable was
 * synced before, and the sync has told. Only a number that was not open is a defect.
 */
function release(file: number): void {
  try {
    fs.closeSync(file)
  } catch (error) {
    if (errno(error) === 'EBADF') throw error
  }
}

/** Undefined where the system has no such flag: Node's types say that each has. */
function directFlags(): number | undefined {
  const flag = fs.constants.O_DIRECT as number | undefined
  return flag === undefined ? undefined : fs.constants.O_RDWR | flag
}

function errno(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : 'EIO'
}

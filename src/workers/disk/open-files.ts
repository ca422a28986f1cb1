import type { Disk, FileMode } from './disk.ts'
import type { Steps } from './sync-steps.ts'

/** Files that may be open at once before those written so far are synced and closed. */
const OPEN_FILES_MAX = 128

/**
 * Files that were written to and are not synced yet. Each stays open from its first write to its
 * sync, so that an error of the kernel's own write-back in between reaches that sync.
 */
export class OpenFiles {
  readonly #disk: Disk
  readonly #files = new Map<string, number>()

  constructor(disk: Disk) {
    this.#disk = disk
  }

  /** Whether they should be synced before another one is opened. */
  get areMany(): boolean {
    return this.#files.size >= OPEN_FILES_MAX
  }

  /** Opens a file, or returns its descriptor if it is open already; `mode` does not count then. */
  open(path: string, mode: FileMode): number {
    const known = this.#files.get(path)
    if (known !== undefined) return known
    const file = this.#disk.open(path, mode)
    this.#files.set(path, file)
    return file
  }

  /** Closes a directory's files without a sync, because nothing written to them will be used. */
  abandon(directory: string): void {
    for (const [path, file] of this.#files) {
      if (!path.startsWith(`${directory}/`)) continue
      this.#disk.close(file)
      this.#files.delete(path)
    }
  }

  /** Makes all of them durable, then closes them. */
  *sync(): Steps<void> {
    if (this.#files.size > 0) yield { files: [...this.#files.values()], directories: [] }
    this.close()
  }

  /** Closes all of them, durable or not. */
  close(): void {
    for (const file of this.#files.values()) this.#disk.close(file)
    this.#files.clear()
  }
}

import { DiskError, type FileMode } from '../../src/workers/disk/disk.ts'
import { SimulatedDisk } from './simulated-disk.ts'

/** Counts what happens to journal files. */
export class CountingDisk extends SimulatedDisk {
  /** Journal files made anew. */
  made = 0
  /** Freed journal files used again. */
  reused = 0
  /** Journal files opened past the page cache, and through it. */
  direct = 0
  buffered = 0
  /** Direct writes of journal files that are left until one fails. */
  directWritesLeft = Number.POSITIVE_INFINITY
  errno = 'EINVAL'
  readonly #directFiles = new Set<number>()

  override open(path: string, mode: FileMode): number {
    const file = super.open(path, mode)
    if (mode === 'create' && path.endsWith('/prepared.tmp')) this.made += 1
    if (mode === 'update' && path.endsWith('.spare')) this.reused += 1
    if (mode === 'direct' && path.endsWith('.wal')) {
      this.direct += 1
      this.#directFiles.add(file)
    }
    if (mode === 'update' && path.endsWith('.wal')) this.buffered += 1
    return file
  }

  override close(file: number): void {
    this.#directFiles.delete(file)
    super.close(file)
  }

  override write(file: number, source: Buffer, position: number): number {
    if (this.#directFiles.has(file)) {
      if (this.directWritesLeft === 0) throw new DiskError(this.errno, 'write', `file ${file}`)
      this.directWritesLeft -= 1
    }
    return super.write(file, source, position)
  }
}

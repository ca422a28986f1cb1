// What the engine asks of storage. Synchronous, because every caller is a thread of its own whose
// order of writes and syncs is the point. `write` may be short. Paths are relative to the data
// directory. Every method throws DiskError.

export type FileMode =
  /** Existing file, to read. */
  | 'read'
  /** Existing file, to read and write. */
  | 'update'
  /**
   * Existing file, to write past the page cache: whole pages, from memory that is page-aligned. Not
   * every file system does it: EINVAL, at the opening or at a write.
   */
  | 'direct'
  /** New or emptied file, to read and write. */
  | 'create'

export interface Disk {
  open(path: string, mode: FileMode): number
  /** Never fails for the disk's sake. */
  close(file: number): void
  /** Bytes read into `target`, 0 at the end of the file; may be fewer than asked. */
  read(file: number, target: Buffer, position: number): number
  /** Bytes written; may be fewer than asked. */
  write(file: number, source: Buffer, position: number): number
  size(file: number): number
  truncate(file: number, size: number): void
  /** Makes the file's bytes and size durable. A failure is final: faults.md, rule 3. */
  sync(file: number): void
  /** Makes the names in a directory durable. One that cannot be opened fails as `open`. */
  syncDirectory(path: string): void
  exists(path: string): boolean
  /** Names in a directory, in byte order. */
  list(path: string): string[]
  /** One level; one that exists is left as it is. */
  makeDirectory(path: string): void
  rename(from: string, to: string): void
  remove(path: string): void
  removeDirectory(path: string): void
  /** Bytes that may still be written. */
  freeBytes(): number
}

const FOR_SPACE: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE'])

/** A failed disk operation, with the errno's name as `code`, e.g. ENOSPC. */
export class DiskError extends Error {
  override readonly name = 'DiskError'
  readonly code: string
  readonly operation: string
  readonly path: string

  constructor(code: string, operation: string, path: string, cause?: unknown) {
    super(`${operation} ${path}: ${code}`, { cause })
    this.code = code
    this.operation = operation
    this.path = path
  }

  /** Whether it failed for want of room, or of a file descriptor, which may come back. */
  get isForSpace(): boolean {
    return FOR_SPACE.has(this.code)
  }

  /** Whether the process, or the system, has no file descriptor left. */
  get isForFiles(): boolean {
    return this.code === 'EMFILE' || this.code === 'ENFILE'
  }

  /** Whether what failed was a sync: never retried, whatever the errno. */
  get isSync(): boolean {
    return this.operation.startsWith('sync')
  }
}

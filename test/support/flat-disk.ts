import { type Disk, DiskError, type FileMode } from '../../src/workers/disk/disk.ts'
import { writeFully } from '../../src/workers/disk/files.ts'

type OpenFile = { readonly path: string; readonly mode: FileMode }

/** Files in memory, quick to copy, without any of a real disk's ways to fail. */
export class FlatDisk implements Disk {
  readonly #files: Map<string, Buffer>
  readonly #directories: Set<string>
  readonly #open = new Map<number, OpenFile>()
  #nextFile = 3

  constructor(files = new Map<string, Buffer>(), directories = new Set<string>()) {
    this.#files = files
    this.#directories = directories
  }

  /** The same files; what is done to one disk is not seen on the other. */
  copy(): FlatDisk {
    return new FlatDisk(new Map(this.#files), new Set(this.#directories))
  }

  /** Changes a file by a function of a copy of its bytes. */
  change(path: string, act: (bytes: Buffer) => Buffer | void): void {
    const bytes = Buffer.from(this.content(path))
    this.#files.set(path, act(bytes) ?? bytes)
  }

  paths(): string[] {
    return [...this.#files.keys()].sort()
  }

  content(path: string): Buffer {
    const bytes = this.#files.get(path)
    if (bytes === undefined) throw new DiskError('ENOENT', 'open', path)
    return bytes
  }

  put(path: string, bytes: Buffer): void {
    this.#files.set(path, bytes)
  }

  open(path: string, mode: FileMode): number {
    if (mode === 'create') this.#files.set(path, Buffer.alloc(0))
    this.content(path)
    this.#open.set(this.#nextFile, { path, mode })
    return this.#nextFile++
  }

  close(file: number): void {
    this.#open.delete(file)
  }

  read(file: number, target: Buffer, position: number): number {
    const bytes = this.#bytesOf(file)
    return position >= bytes.length ? 0 : bytes.copy(target, 0, position)
  }

  write(file: number, source: Buffer, position: number): number {
    const { path, mode } = this.#open.get(file) as OpenFile
    if (mode === 'read') throw new DiskError('EBADF', 'write', path)
    const bytes = this.content(path)
    const grown = Buffer.alloc(Math.max(bytes.length, position + source.length))
    bytes.copy(grown)
    source.copy(grown, position)
    this.#files.set(path, grown)
    return source.length
  }

  size(file: number): number {
    return this.#bytesOf(file).length
  }

  truncate(file: number, size: number): void {
    const { path } = this.#open.get(file) as OpenFile
    this.change(path, bytes => bytes.subarray(0, size))
  }

  sync(): void {}

  syncDirectory(): void {}

  exists(path: string): boolean {
    return this.#files.has(path) || this.#directories.has(path)
  }

  list(path: string): string[] {
    const prefix = path === '' ? '' : `${path}/`
    if (this.#files.has(path)) throw new DiskError('ENOTDIR', 'list', path)
    const below = [...this.#files.keys(), ...this.#directories]
      .filter(name => name !== path && name.startsWith(prefix))
      .map(name => name.slice(prefix.length))
    return [...new Set(below.filter(name => !name.includes('/')))].sort()
  }

  makeDirectory(path: string): void {
    this.#directories.add(path)
  }

  rename(from: string, to: string): void {
    const moved = [...this.#files].filter(([name]) => name === from || name.startsWith(`${from}/`))
    for (const [name] of moved) this.#files.delete(name)
    for (const [name, bytes] of moved) this.#files.set(to + name.slice(from.length), bytes)
    if (this.#directories.delete(from)) this.#directories.add(to)
  }

  remove(path: string): void {
    if (!this.#files.delete(path)) throw new DiskError('ENOENT', 'remove', path)
  }

  removeDirectory(path: string): void {
    this.#directories.delete(path)
  }

  freeBytes(): number {
    return Number.POSITIVE_INFINITY
  }

  #bytesOf(file: number): Buffer {
    return this.content((this.#open.get(file) as OpenFile).path)
  }
}

/** Copies files, given with their directories, to a new disk. */
export function flatten(paths: readonly string[], content: (path: string) => Buffer): FlatDisk {
  const disk = new FlatDisk()
  for (const path of paths) {
    const parts = path.split('/')
    for (let depth = 1; depth < parts.length; depth += 1) {
      disk.makeDirectory(parts.slice(0, depth).join('/'))
    }
    const file = disk.open(path, 'create')
    writeFully(disk, file, content(path), 0)
    disk.close(file)
  }
  return disk
}

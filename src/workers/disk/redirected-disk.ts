import type { Disk, FileMode } from './disk.ts'

/** A disk on which one directory lies elsewhere. */
export class RedirectedDisk implements Disk {
  readonly #disk: Disk
  readonly #from: string
  readonly #to: string

  constructor(disk: Disk, from: string, to: string) {
    this.#disk = disk
    this.#from = from
    this.#to = to
  }

  open(path: string, mode: FileMode): number {
    return this.#disk.open(this.#at(path), mode)
  }

  close(file: number): void {
    this.#disk.close(file)
  }

  read(file: number, target: Buffer, position: number): number {
    return this.#disk.read(file, target, position)
  }

  write(file: number, source: Buffer, position: number): number {
    return this.#disk.write(file, source, position)
  }

  size(file: number): number {
    return this.#disk.size(file)
  }

  truncate(file: number, size: number): void {
    this.#disk.truncate(file, size)
  }

  sync(file: number): void {
    this.#disk.sync(file)
  }

  syncDirectory(path: string): void {
    this.#disk.syncDirectory(this.#at(path))
  }

  exists(path: string): boolean {
    return this.#disk.exists(this.#at(path))
  }

  list(path: string): string[] {
    return this.#disk.list(this.#at(path))
  }

  makeDirectory(path: string): void {
    this.#disk.makeDirectory(this.#at(path))
  }

  rename(from: string, to: string): void {
    this.#disk.rename(this.#at(from), this.#at(to))
  }

  remove(path: string): void {
    this.#disk.remove(this.#at(path))
  }

  removeDirectory(path: string): void {
    this.#disk.removeDirectory(this.#at(path))
  }

  freeBytes(): number {
    return this.#disk.freeBytes()
  }

  #at(path: string): string {
    const isBelow = path === this.#from || path.startsWith(`${this.#from}/`)
    return isBelow ? this.#to + path.slice(this.#from.length) : path
  }
}

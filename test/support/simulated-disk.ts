import { parentPath } from '../../src/shared/format/paths.ts'
import { type Disk, DiskError, type FileMode } from '../../src/workers/disk/disk.ts'
import type { Random } from './random.ts'
import { type DiskFault, FaultPlan } from './simulated-fault.ts'
import {
  assertAligned,
  emptyInode,
  forgetUnsynced,
  grown,
  type Inode,
  noteWrite,
  persist,
  restart,
  SECTOR_BYTES,
  sectorVersions,
} from './simulated-inode.ts'
import { applyChange, isWithin, type Move, type NameChange } from './simulated-names.ts'

// A disk with two faces: what the process sees (the page cache) and what would be there after the
// power fails (the media). Between the two lies, per sector, every content since the last sync; a
// power failure keeps any of them, or a torn mixture, and any file size and any of the directory
// entries that were not synced. Deterministic from its random source.

/** Thrown at the operation at which the machine stops. */
export class Crash extends Error {
  override readonly name = 'Crash'
}

/** Ways to be broken on purpose, so that a test can show that it would be noticed. */
export type DiskDefects = {
  /** A sync that does nothing. */
  readonly noSync?: boolean
  /** A directory sync that does nothing. */
  readonly noDirectorySync?: boolean
}

export class SimulatedDisk implements Disk {
  readonly #random: Random
  readonly #defects: DiskDefects
  #names: Map<string, Inode>
  #mediaNames: Map<string, Inode>
  #directories: Set<string>
  #changes: NameChange[] = []
  #files = new Map<number, { path: string; inode: Inode; mode: FileMode }>()
  #nextFile = 3
  readonly #faults = new FaultPlan()
  /** Operations that change something, so far. */
  operations = 0
  /** The operation at which the machine stops. */
  crashAt = Number.POSITIVE_INFINITY
  free = Number.POSITIVE_INFINITY

  constructor(random: Random, defects: DiskDefects = {}) {
    this.#random = random
    this.#defects = defects
    this.#names = new Map()
    this.#mediaNames = new Map()
    this.#directories = new Set([''])
  }

  open(path: string, mode: FileMode): number {
    this.#faults.check('open', path)
    let inode = this.#names.get(path)
    if (inode === undefined) {
      if (mode !== 'create') throw new DiskError('ENOENT', 'open', path)
      this.#tick()
      inode = emptyInode()
      this.#rename(path, [[path, inode]])
    } else if (mode === 'create') this.#resize(inode, 0)
    if (mode === 'direct') this.#faults.check('openDirect', path)
    const file = this.#nextFile++
    this.#files.set(file, { path, inode, mode })
    return file
  }

  close(file: number): void {
    this.#files.delete(file)
  }

  read(file: number, target: Buffer, position: number): number {
    const { inode, path } = this.#file(file)
    this.#faults.check('read', path)
    if (position >= inode.size) return 0
    return inode.bytes.copy(target, 0, position, Math.min(inode.size, position + target.length))
  }

  write(file: number, source: Buffer, position: number): number {
    const { inode, path, mode } = this.#file(file)
    this.#faults.check('write', path)
    if (mode === 'direct') assertAligned(source, position)
    if (this.operations === this.crashAt) {
      const reached = this.#random.below(source.length + 1)
      if (reached > 0) this.#put(inode, source.subarray(0, reached), position)
      throw new Crash('write')
    }
    this.operations += 1
    const growth = Math.max(0, position + source.length - inode.size)
    if (growth > this.free) throw new DiskError('ENOSPC', 'write', path)
    this.free -= growth
    // A write may be short: now and then it is.
    const length = this.#random.chance(0.02) ? 1 + this.#random.below(source.length) : source.length
    this.#put(inode, source.subarray(0, length), position)
    return length
  }

  size(file: number): number {
    return this.#file(file).inode.size
  }

  truncate(file: number, size: number): void {
    const { inode, path } = this.#file(file)
    this.#faults.check('truncate', path)
    this.#tick()
    this.#resize(inode, size)
  }

  sync(file: number): void {
    const { inode, path } = this.#file(file)
    if (this.operations === this.crashAt) {
      this.#settle(inode)
      throw new Crash('sync')
    }
    this.operations += 1
    this.#failSync(inode, path)
    if (this.#defects.noSync !== true) persist(inode)
  }

  syncDirectory(path: string): void {
    this.#faults.checkSync('syncDirectory', path, path)
    this.#tick()
    if (this.#defects.noDirectorySync === true) return
    const changes = this.#changes.filter(({ directory }) => directory === path)
    for (const change of changes) this.#reachMedia(change)
    this.#changes = this.#changes.filter(({ directory }) => directory !== path)
  }

  exists(path: string): boolean {
    return this.#names.has(path) || this.#directories.has(path)
  }

  list(path: string): string[] {
    this.#faults.check('list', path)
    const prefix = path === '' ? '' : `${path}/`
    const below = [...this.#names.keys(), ...this.#directories]
      .filter(name => name !== path && name.startsWith(prefix))
      .map(name => name.slice(prefix.length))
    return [...new Set(below.filter(name => !name.includes('/')))].sort()
  }

  makeDirectory(path: string): void {
    this.#faults.check('makeDirectory', path)
    this.#tick()
    if (this.#directories.has(path)) return
    this.#endRemoval(path)
    this.#directories.add(path)
    this.#changes.push({ directory: parentPath(path), names: [], made: path })
  }

  rename(from: string, to: string): void {
    this.#faults.check('rename', from)
    this.#tick()
    const moved = [...this.#names].filter(([name]) => name === from || name.startsWith(`${from}/`))
    if (moved.length === 0 && !this.#directories.has(from)) {
      throw new DiskError('ENOENT', 'rename', from)
    }
    const names = [
      ...moved.map(([name]) => [name, undefined] as const),
      ...moved.map(([name, inode]) => [to + name.slice(from.length), inode] as const),
    ]
    if (!this.#directories.has(from)) return this.#rename(to, names)
    this.#moveDirectories({ from, to })
    this.#rename(to, names, { from, to })
  }

  remove(path: string): void {
    this.#faults.check('remove', path)
    this.#tick()
    if (!this.#names.has(path)) throw new DiskError('ENOENT', 'remove', path)
    this.#rename(path, [[path, undefined]])
  }

  removeDirectory(path: string): void {
    this.#faults.check('removeDirectory', path)
    this.#tick()
    this.#directories.delete(path)
    this.#changes.push({ directory: parentPath(path), names: [], unmade: path })
  }

  freeBytes(): number {
    return this.free
  }

  /** Syncs so far. */
  get syncs(): number {
    return this.#faults.count('sync')
  }

  /** Every such operation fails from now on. */
  failFrom(operation: DiskFault['operation'], code: DiskFault['code']): void {
    this.failNext(operation, code, true)
  }

  /** The next such operation fails. */
  failNext(operation: DiskFault['operation'], code: DiskFault['code'], lasts = false): void {
    const at = operation === 'any' ? 1 : this.#faults.count(operation) + 1
    this.#faults.set({ operation, at, code, lasts })
  }

  set fault(fault: DiskFault | undefined) {
    this.#faults.set(fault)
  }

  /** Operations that failed since the fault was set. */
  get faultHits(): number {
    return this.#faults.hits
  }

  /** The process is gone, the machine stays: everything written is still seen. */
  kill(): void {
    this.#files.clear()
    this.crashAt = Number.POSITIVE_INFINITY
    this.#faults.forget()
  }

  /**
   * Threads are gone and recover while the process lives. Their recovery is a start like any other:
   * what a failed sync dropped is written again, or the next power failure shows that it is gone.
   */
  restartThreads(): void {
    this.#faults.forgetSyncs()
  }

  /** The power fails: what is seen from now on is what the media happened to hold. */
  cutPower(): void {
    this.kill()
    const inodes = new Set([...this.#names.values(), ...this.#mediaNames.values()])
    for (const inode of inodes) this.#settle(inode)
    const lost = this.#lostChanges()
    for (const change of this.#changes) if (!lost.has(change)) applyChange(this.#mediaNames, change)
    for (const { unmade } of lost) if (unmade !== undefined) this.#directories.add(unmade)
    for (const { made } of lost) this.#loseDirectory(made)
    // Where a rename of a directory did not last, it is where it was.
    for (const { moved } of [...lost].toReversed()) {
      if (moved !== undefined) this.#moveDirectories({ from: moved.to, to: moved.from })
    }
    this.#changes = []
    this.#names = new Map(this.#mediaNames)
    for (const path of this.#names.keys()) {
      for (let at = parentPath(path); at !== ''; at = parentPath(at)) this.#directories.add(at)
    }
    for (const inode of new Set(this.#names.values())) restart(inode)
  }

  /** Bytes of a file, and a way to damage them. */
  content(path: string): Buffer {
    const inode = this.#names.get(path)
    if (inode === undefined) throw new DiskError('ENOENT', 'read', path)
    return inode.bytes.subarray(0, inode.size)
  }

  /** Paths of all files. */
  paths(): string[] {
    return [...this.#names.keys()].sort()
  }

  #tick(): void {
    if (this.operations === this.crashAt) throw new Crash('operation')
    this.operations += 1
  }

  #file(file: number): { path: string; inode: Inode; mode: FileMode } {
    const open = this.#files.get(file)
    if (open === undefined) throw new DiskError('EBADF', 'use', `file ${file}`)
    return open
  }

  #failSync(inode: Inode, path: string): void {
    try {
      this.#faults.checkSync('sync', path, inode)
    } catch (error) {
      // As Linux has it: some pages got there, all count as clean, the cache still shows them.
      this.#settle(inode)
      forgetUnsynced(inode)
      throw error
    }
  }

  /** Changes names in the directory that holds `path`. */
  #rename(path: string, names: NameChange['names'], moved?: Move): void {
    const directory = parentPath(path)
    const change = moved === undefined ? { directory, names } : { directory, names, moved }
    applyChange(this.#names, change)
    this.#changes.push(change)
  }

  /**
   * Some of what was done to names: any of it, or, with directories that moved and took names with
   * them, what came after some point.
   */
  #lostChanges(): ReadonlySet<NameChange> {
    const isInOrder = this.#changes.some(({ moved }) => moved !== undefined)
    if (isInOrder || this.#random.chance(0.5)) {
      return new Set(this.#changes.slice(this.#random.below(this.#changes.length + 1)))
    }
    return new Set(this.#changes.filter(() => this.#random.chance(0.5)))
  }

  /** What is in a directory is lost with its own name, synced or not. */
  #loseDirectory(path: string | undefined): void {
    if (path === undefined) return
    for (const name of this.#mediaNames.keys()) {
      if (isWithin(name, path)) this.#mediaNames.delete(name)
    }
    for (const name of this.#directories) {
      if (isWithin(name, path)) this.#directories.delete(name)
    }
  }

  /** What was done in a directory before it moved has moved with it, or is gone with it. */
  #reachMedia(change: NameChange): void {
    applyChange(this.#mediaNames, change)
    const end = this.#changes.indexOf(change)
    const before = change.moved?.from ?? change.unmade
    this.#changes = this.#changes.filter(
      ({ directory }, at) => at > end || !isWithin(directory, before),
    )
  }

  /** Creating a directory again makes a new one, so the media forget the earlier one now. */
  #endRemoval(path: string): void {
    const removal = this.#changes.find(({ unmade }) => unmade === path)
    if (removal === undefined) return
    this.#reachMedia(removal)
    this.#changes = this.#changes.filter(it => it !== removal && it.made !== path)
  }

  #moveDirectories({ from, to }: Move): void {
    this.#changes = this.#changes.map(change => {
      const { made } = change
      if (made === undefined || !isWithin(made, from)) return change
      const path = to + made.slice(from.length)
      return { ...change, made: path, directory: parentPath(path) }
    })
    for (const path of [...this.#directories].filter(it => isWithin(it, from))) {
      this.#directories.delete(path)
      this.#directories.add(to + path.slice(from.length))
    }
  }

  #put(inode: Inode, source: Buffer, position: number): void {
    const end = position + source.length
    if (end > inode.bytes.length) inode.bytes = grown(inode.bytes, end)
    source.copy(inode.bytes, position)
    if (end > inode.size) {
      inode.size = end
      inode.sizes.push(end)
    }
    noteWrite(inode, position, end)
  }

  #resize(inode: Inode, size: number): void {
    if (size > inode.bytes.length) inode.bytes = grown(inode.bytes, size)
    if (size < inode.size) {
      inode.bytes.fill(0, size, inode.size)
      noteWrite(inode, size, inode.size)
    }
    inode.size = size
    inode.sizes.push(size)
  }

  /** Some of what was not synced reaches the media: none, all, or any, whole or torn. */
  #settle(inode: Inode): void {
    const mode = this.#random.pick(['none', 'all', 'any', 'any'] as const)
    if (mode === 'none') return
    for (const [sector, versions] of sectorVersions(inode)) {
      const taken = mode === 'all' ? versions.length : this.#random.below(versions.length + 1)
      const version = versions[taken - 1]
      if (version !== undefined) this.#putMedia(inode, sector, version, mode === 'any')
    }
    const size = inode.sizes[mode === 'all' ? inode.sizes.length - 1 : this.#sizeKept(inode)]
    if (size !== undefined) inode.mediaSize = size
  }

  #sizeKept(inode: Inode): number {
    return this.#random.below(inode.sizes.length + 1) - 1
  }

  #putMedia(inode: Inode, sector: number, version: Buffer, mayTear: boolean): void {
    const at = sector * SECTOR_BYTES
    if (at + SECTOR_BYTES > inode.media.length) inode.media = grown(inode.media, at + SECTOR_BYTES)
    const isTorn = mayTear && this.#random.chance(0.05)
    version.copy(inode.media, at, 0, isTorn ? this.#random.below(SECTOR_BYTES) : SECTOR_BYTES)
  }
}

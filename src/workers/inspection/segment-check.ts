import { CHECKPOINT_RECORD_BYTES } from '../../shared/format/checkpoint.ts'
import { indexPath, segmentPath } from '../../shared/format/paths.ts'
import { RecordKind, type RecordView } from '../../shared/format/record.ts'
import { isDirectory } from '../disk/aside.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import type { ChainCheck } from './chain-check.ts'
import type { Draft } from './draft.ts'
import { FileWindow, type FoundRecord, withWindow } from './file-window.ts'
import { IndexCheck } from './index-check.ts'
import type { Mark } from './stored-appends.ts'

/** What a segment has to hold. */
export type SegmentExtent = {
  readonly number: number
  readonly firstOffset: number
  readonly nextOffset: number
  readonly bytes: number
  /** What the chain has to be inside it. */
  readonly marks?: readonly Mark[]
}

/** A sound record behind damage. */
type Resumption = { readonly offset: number; readonly at: number }

/** Checks the records of one segment that is there, all of them, however many are damaged. */
export class SegmentCheck {
  readonly #path: string
  readonly #stream: string
  readonly #extent: SegmentExtent
  readonly #chain: ChainCheck
  readonly #draft: Draft
  readonly #file: FileWindow
  readonly #index: IndexCheck
  #isBehindCheckpoint = false

  constructor(
    path: string,
    stream: string,
    extent: SegmentExtent,
    chain: ChainCheck,
    draft: Draft,
    file: FileWindow,
    index: IndexCheck,
  ) {
    this.#path = path
    this.#stream = stream
    this.#extent = extent
    this.#chain = chain
    this.#draft = draft
    this.#file = file
    this.#index = index
  }

  /** @throws DiskError when the segment cannot be read */
  static run(
    disk: Disk,
    directory: string,
    stream: string,
    extent: SegmentExtent,
    chain: ChainCheck,
    draft: Draft,
  ): void {
    const path = segmentPath(directory, extent.number)
    const besides = indexPath(directory, extent.number)
    withWindow(disk, path, file =>
      withIndex(disk, besides, window => {
        const index = new IndexCheck(besides, window, draft)
        new SegmentCheck(path, stream, extent, chain, draft, file, index).#walk()
      }),
    )
  }

  #walk(): void {
    const chain = this.#chain
    const { bytes, nextOffset, firstOffset } = this.#extent
    let at = 0
    this.#checkMarks(at)
    while (at < bytes) {
      const found = this.#file.record(at, bytes)
      if (found === undefined || !this.#isNext(found.record)) {
        at = this.#skip(at)
        continue
      }
      const isData = found.record.kind === RecordKind.Data
      if (isData) this.#index.check(chain.nextOffset - firstOffset, at, this.#isBehindCheckpoint)
      at = this.#accept(found, at)
      this.#checkMarks(at)
      this.#isBehindCheckpoint = !isData
      if (chain.isSegmentEnd && at < bytes) {
        const reason = 'records follow the checkpoint that ends the segment'
        this.#damage([at, bytes], undefined, reason)
        chain.lose(chain.nextOffset)
      }
    }
    if (chain.nextOffset < nextOffset) this.#lose({ offset: nextOffset, at: bytes }, at)
    this.#draft.counts.segments += 1
    if (this.#file.size > bytes) {
      this.#draft.note({
        file: this.#path,
        stream: this.#stream,
        bytes: [bytes, this.#file.size],
        reason: 'bytes past the end that the catalogue names: of a checkpoint without a commit',
      })
    }
  }

  #checkMarks(at: number): void {
    for (const mark of this.#extent.marks ?? []) {
      if (mark.at !== at) continue
      const place = { file: this.#path, at, end: at }
      this.#chain.expectHead(mark.head, place, mark.reason)
      this.#chain.expectState(mark.stateHash, place)
    }
  }

  /** Whether it can come next; behind the last data record only checkpoints can. */
  #isNext({ offset, kind }: RecordView): boolean {
    const isPast = kind === RecordKind.Data && offset >= this.#extent.nextOffset
    return offset === this.#chain.nextOffset && !isPast
  }

  #accept({ bytes, record }: FoundRecord, at: number): number {
    const end = at + record.end
    this.#draft.advance(record.end)
    this.#chain.accept({ file: this.#path, at, end }, bytes, record)
    return end
  }

  /** Names the damage at `at` and returns where it ends. */
  #skip(at: number): number {
    this.#isBehindCheckpoint = false
    const behind = this.#byIndex(at) ??
      this.#byMarker(at) ?? { offset: this.#extent.nextOffset, at: this.#extent.bytes }
    this.#lose(behind, at)
    return behind.at
  }

  #lose(behind: Resumption, at: number): void {
    const { nextOffset } = this.#chain
    const isShort = at >= this.#file.size
    if (behind.offset === nextOffset) {
      // No record is lost. The empty range says where the damage is, so that a repair can state it.
      const offsets = [nextOffset, nextOffset] as const
      this.#damage([at, behind.at], offsets, 'no checkpoint or record checks here')
      return this.#chain.lose(nextOffset)
    }
    const reason = isShort ? 'the segment ends before it' : 'a record does not check'
    this.#damage([at, behind.at], [nextOffset, behind.offset], reason)
    this.#chain.lose(behind.offset)
  }

  /** The first record behind `at` that is where the index says. */
  #byIndex(at: number): Resumption | undefined {
    const { firstOffset, nextOffset, bytes } = this.#extent
    for (let offset = this.#chain.nextOffset; offset < nextOffset; offset += 1) {
      const position = this.#index.position(offset - firstOffset)
      if (position === undefined) return undefined
      if (position <= at) continue
      const checkpoint = this.#checkpointBefore(offset, position)
      if (checkpoint !== undefined && checkpoint.at > at) return checkpoint
      if (this.#file.record(position, bytes)?.record.offset === offset) {
        return { offset, at: position }
      }
    }
    return undefined
  }

  /** The checkpoint right before record `offset`, where the index says that there is one. */
  #checkpointBefore(offset: number, position: number): Resumption | undefined {
    if (!this.#index.followsCheckpoint(offset - this.#extent.firstOffset)) return undefined
    const at = position - CHECKPOINT_RECORD_BYTES
    const record = at < 0 ? undefined : this.#file.record(at, position)?.record
    const isIt = record?.kind === RecordKind.Checkpoint && record.offset === offset
    return isIt ? { offset, at } : undefined
  }

  /**
   * The first whole record behind `at` that can follow it. One that does not belong where it lies,
   * as of two that changed places, is passed over, and so many offsets are gone at least.
   */
  #byMarker(at: number): Resumption | undefined {
    const { nextOffset, bytes } = this.#extent
    let least = this.#chain.nextOffset
    let highest = -1
    let position = at
    for (;;) {
      position = this.#file.nextMarker(position, bytes)
      if (position >= bytes) return undefined
      const record = this.#file.record(position, bytes)?.record
      if (record === undefined) {
        position += 1
        continue
      }
      const { offset } = record
      const isData = record.kind === RecordKind.Data
      const limit = isData ? nextOffset : nextOffset + 1
      const follows = offset >= least && offset > highest && offset < limit
      if (position > at && follows) return { offset, at: position }
      if (isData) least += 1
      if (isData && offset < nextOffset) highest = Math.max(highest, offset)
      position += record.end
    }
  }

  #damage(
    bytes: readonly [number, number],
    offsets: readonly [number, number] | undefined,
    reason: string,
  ): void {
    const finding = { file: this.#path, stream: this.#stream, bytes, reason }
    this.#draft.damage(offsets === undefined ? finding : { ...finding, offsets })
  }
}

/** Runs `use` with an index; undefined if it is missing or cannot be opened, as it is a cache. */
function withIndex(disk: Disk, path: string, use: (window: FileWindow | undefined) => void): void {
  const file = openIndex(disk, path)
  if (file === undefined) return use(undefined)
  try {
    use(new FileWindow(disk, file))
  } finally {
    disk.close(file)
  }
}

function openIndex(disk: Disk, path: string): number | undefined {
  if (!disk.exists(path) || isDirectory(disk, path)) return undefined
  try {
    return disk.open(path, 'read')
  } catch (error) {
    if (error instanceof DiskError && !error.isForSpace) return undefined
    throw error
  }
}

import { hexToLatin1, latin1ToHex } from '../../shared/format/bytes.ts'
import type { StreamEntry } from '../../shared/format/catalogue.ts'
import { decodeManifest, type Manifest, type SegmentRange } from '../../shared/format/manifest.ts'
import { manifestPath, segmentNumber, segmentPath, streamPath } from '../../shared/format/paths.ts'
import { MIB } from '../../shared/limits.ts'
import { isDirectory, isMissing } from '../disk/aside.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { readFully, withFile } from '../disk/files.ts'
import { ChainCheck, type Trust } from './chain-check.ts'
import type { Draft } from './draft.ts'
import { withWindow } from './file-window.ts'
import { SegmentCheck, type SegmentExtent } from './segment-check.ts'
import {
  beyond,
  checkBytes,
  extended,
  type Mark,
  marksOf,
  type StoredAppend,
  storedStateHash,
} from './stored-appends.ts'

/** A manifest that is larger is none: it names a segment in about 150 bytes. */
const MANIFEST_BYTES_MAX = 64 * MIB

/**
 * Checks what is in segments of one stream, below the extent that the catalogue vouches for, or the
 * journal where it refers to records there.
 */
export class StreamCheck {
  readonly #disk: Disk
  readonly #entry: StreamEntry
  readonly #draft: Draft
  readonly #directory: string
  readonly #chain: ChainCheck
  readonly #stored: readonly StoredAppend[]
  readonly #marks: readonly Mark[]
  /** Offset where the records begin that the manifest keeps. */
  #listedFrom: number

  /** @param stored by the journal, the segments hold them */
  constructor(
    disk: Disk,
    entry: StreamEntry,
    stored: readonly StoredAppend[],
    trust: Trust,
    draft: Draft,
  ) {
    this.#disk = disk
    this.#stored = beyond(entry, stored)
    this.#marks = marksOf(entry, this.#stored)
    this.#entry = extended(entry, this.#stored)
    this.#draft = draft
    this.#directory = streamPath(entry.name, entry.streamId)
    const isWhole = entry.trimPoint.offset === 0
    const of = { ...entry, stateHash: isWhole ? entry.creationHash : undefined }
    this.#chain = new ChainCheck('segments', of, entry.trimPoint, trust, draft)
    this.#listedFrom = entry.trimPoint.offset
  }

  /** @throws DiskError when a file cannot be read */
  run(): void {
    const entry = this.#entry
    this.#draft.counts.streams += 1
    if (isUnstored(entry)) return // no directory before the first record is stored
    const sealed = this.#readManifest()
    for (const number of this.#numbers(sealed ?? [])) {
      const range = sealed?.find(candidate => candidate.number === number)
      this.#checkSegment(range ?? this.#guess(number, sealed !== undefined))
      if (range !== undefined) this.#checkSeal(range)
    }
    this.#checkSegment({
      number: entry.segment,
      firstOffset: entry.segmentFirstOffset,
      nextOffset: entry.nextOffset,
      bytes: entry.segmentBytes,
    })
    const names = this.#stored.length > 0 ? 'the journal names' : 'the catalogue names'
    this.#expectHead(this.#entry.chainHead, `${names} another hash for it`)
    this.#expectRecordHash(this.#entry.recordHash, 'catalogue or journal')
    this.#expectState()
    this.#checkLastCheckpoint()
    this.#checkStored()
    this.#noteStrangers()
  }

  /** Only what checks otherwise: of anything else the place is named already, and better. */
  #checkStored(): void {
    for (const stored of this.#stored) {
      if (this.#draft.isDamaged) return
      checkBytes(this.#disk, this.#directory, this.#entry.name, stored, this.#draft)
    }
  }

  #checkSeal(range: SegmentRange): void {
    // Both are empty where the manifest was built again and the segment was lost.
    if (range.chainHead !== '') {
      this.#expectHead(hexToLatin1(range.chainHead), 'the manifest names another hash for it')
    }
    if (range.recordHash !== '') this.#expectRecordHash(hexToLatin1(range.recordHash), 'manifest')
    if (this.#chain.head === undefined || this.#chain.isSegmentEnd) return
    const file = segmentPath(this.#directory, range.number)
    const reason = 'the sealed segment does not end with the checkpoint that says so'
    this.#draft.damage({ file, stream: this.#entry.name, bytes: [0, range.bytes], reason })
  }

  /** One that is missing from the log and from everything else shows here at least. */
  #checkLastCheckpoint(): void {
    const { lastCheckpoint, name, trimPoint } = this.#entry
    const found = this.#chain.lastCheckpoint
    if (this.#chain.isInterrupted || lastCheckpoint <= trimPoint.offset) return
    if (found === lastCheckpoint) return
    const reason = `the last checkpoint is not there: the catalogue has one at ${lastCheckpoint}`
    this.#draft.damage({ file: this.#directory, stream: name, reason })
  }

  /** The sealed segments below the active one; undefined when the manifest cannot be used. */
  #readManifest(): readonly SegmentRange[] | undefined {
    const { name, streamId, segment } = this.#entry
    const path = manifestPath(this.#directory)
    if (!this.#disk.exists(path)) {
      // A write-back removes one that it cannot replace. The segments themselves are checked.
      const reason = 'the manifest is missing; it is rebuilt from the segments at its next use'
      this.#draft.note({ file: path, stream: name, reason })
      return undefined
    }
    const bytes = this.#manifestBytes(path)
    const manifest = decodeManifest(bytes)
    const isHis = manifest?.stream === name && manifest.streamId === latin1ToHex(streamId)
    if (manifest !== undefined && isHis) {
      this.#checkTrimPoint(manifest, path)
      return manifest.sealed.filter(it => it.number < segment)
    }
    this.#draft.damage({
      file: path,
      stream: name,
      bytes: [0, bytes.length],
      reason:
        manifest === undefined
          ? 'the manifest does not check'
          : 'the manifest is of another stream',
    })
    return undefined
  }

  /** The start of a manifest; nothing where a directory is in its place. */
  #manifestBytes(path: string): Buffer {
    try {
      return withFile(this.#disk, path, 'read', file =>
        readFully(this.#disk, file, 0, Math.min(this.#disk.size(file), MANIFEST_BYTES_MAX)),
      )
    } catch (error) {
      if (isMissing(error)) return Buffer.alloc(0)
      throw error
    }
  }

  /**
   * The manifest is written before the catalogue: a crash between the two leaves it ahead, and the
   * segments in front of it where they are.
   */
  #checkTrimPoint({ trimPoint }: Manifest, file: string): void {
    const { trimPoint: kept, name } = this.#entry
    this.#listedFrom = Math.max(this.#listedFrom, trimPoint.offset)
    const isSame =
      trimPoint.offset === kept.offset && trimPoint.chainHead === latin1ToHex(kept.hash)
    if (isSame || trimPoint.offset > kept.offset) return
    const reason = `its trim point ${trimPoint.offset} is not that of the catalogue, ${kept.offset}`
    this.#draft.damage({ file, stream: name, reason })
  }

  /** Sealed segments that there are or ought to be; one that is missing altogether leaves a gap. */
  #numbers(sealed: readonly SegmentRange[]): number[] {
    const names = isDirectory(this.#disk, this.#directory) ? this.#disk.list(this.#directory) : []
    const { segment, firstSegment } = this.#entry
    const found = names.filter(name => name.endsWith('.log')).map(name => segmentNumber(name))
    const numbers = new Set([...found, ...sealed.map(range => range.number)])
    return [...numbers]
      .filter(number => number !== undefined)
      .filter(number => number >= firstSegment && number < segment)
      .sort((left, right) => left - right)
  }

  /** What a sealed segment has to hold when the manifest does not say: all of its file. */
  #guess(number: number, isManifestSound: boolean): SegmentExtent {
    const path = segmentPath(this.#directory, number)
    const { bytes, first } = this.#startOf(path)
    const firstOffset = first ?? this.#chain.nextOffset
    if (isManifestSound && firstOffset >= this.#listedFrom) {
      const stream = this.#entry.name
      const reason = `the manifest does not name segment ${number}`
      this.#draft.damage({ file: manifestPath(this.#directory), stream, reason })
    }
    return { number, firstOffset, nextOffset: this.#startAfter(number), bytes }
  }

  /** First offset of the first segment behind `number` that says it. */
  #startAfter(number: number): number {
    for (const next of this.#numbers([])) {
      if (next <= number) continue
      const { first } = this.#startOf(segmentPath(this.#directory, next))
      if (first !== undefined) return first
    }
    return this.#entry.segmentFirstOffset
  }

  /** A segment's size and first offset; nothing of one that cannot be read. */
  #startOf(path: string): { readonly bytes: number; readonly first: number | undefined } {
    try {
      return withWindow(this.#disk, path, file => ({
        bytes: file.size,
        first: file.record(0, file.size)?.record.offset,
      }))
    } catch (error) {
      if (error instanceof DiskError && !error.isForSpace) return { bytes: 0, first: undefined }
      throw error
    }
  }

  #checkSegment(extent: SegmentExtent): void {
    const stream = this.#entry.name
    const file = segmentPath(this.#directory, extent.number)
    const { nextOffset } = this.#chain
    if (extent.firstOffset !== nextOffset) {
      const [from, to] = [nextOffset, extent.firstOffset].sort((left, right) => left - right)
      const offsets: [number, number] = [from as number, to as number]
      this.#draft.damage({
        file,
        stream,
        offsets,
        reason: 'the segments before it do not reach it',
      })
      this.#chain.lose(extent.firstOffset)
    }
    if (this.#disk.exists(file)) {
      const marks = this.#marks.filter(({ segment }) => segment === extent.number)
      const marked = { ...extent, marks }
      try {
        SegmentCheck.run(this.#disk, this.#directory, stream, marked, this.#chain, this.#draft)
      } catch (error) {
        this.#loseUnreadable(error, file, extent)
      }
      return
    }
    if (extent.nextOffset === extent.firstOffset) return
    const offsets: [number, number] = [extent.firstOffset, extent.nextOffset]
    this.#draft.damage({ file, stream, offsets, reason: 'the segment is missing' })
    this.#chain.lose(extent.nextOffset)
  }

  /** A segment that cannot be read is lost from where it fails; the others are checked. */
  #loseUnreadable(error: unknown, file: string, { nextOffset }: SegmentExtent): void {
    if (!(error instanceof DiskError) || error.path !== file) throw error
    const offsets = [Math.min(this.#chain.nextOffset, nextOffset), nextOffset] as const
    const reason = `it cannot be read: ${error.code}`
    this.#draft.damage({ file, stream: this.#entry.name, offsets, reason })
    this.#chain.lose(nextOffset)
  }

  #expectHead(head: string, reason: string): void {
    this.#chain.expectHead(head, { file: this.#directory, at: 0, end: 0 }, reason)
  }

  /** Compares the last signed state with the catalogue, whose own hashes were compared before. */
  #expectState(): void {
    const last = this.#stored.at(-1)
    const expected = last === undefined ? storedStateHash(this.#entry) : last.stateHash
    this.#chain.expectState(expected, { file: this.#directory, at: 0, end: 0 })
  }

  #expectRecordHash(expected: string, who: string): void {
    const { recordHash } = this.#chain
    if (recordHash === undefined || recordHash === expected || this.#draft.isDamaged) return
    const reason = `the ${who} names another hash for its last data record`
    this.#draft.damage({ file: this.#directory, stream: this.#entry.name, reason })
  }

  #noteStrangers(): void {
    if (!isDirectory(this.#disk, this.#directory)) return
    for (const name of this.#disk.list(this.#directory)) {
      const file = `${this.#directory}/${name}`
      const { segment, firstSegment } = this.#entry
      const number = segmentNumber(name) ?? Number.POSITIVE_INFINITY
      if (file === manifestPath(this.#directory)) continue
      if (number >= firstSegment && number <= segment) continue
      const reason = number < firstSegment ? TRIMMED : NOT_OURS
      this.#draft.note({ file, stream: this.#entry.name, reason })
    }
  }
}

const TRIMMED = 'of a segment that is trimmed: it goes with the next one'
const NOT_OURS = 'not a file of this stream: of a checkpoint without a commit, or put there'

/** Whether there is no segment yet. */
function isUnstored({ segment, segmentBytes }: StreamEntry): boolean {
  return segment === 0 && segmentBytes === 0
}

import { hexToLatin1, latin1ToHex } from '../../shared/format/bytes.ts'
import type { StreamEntry } from '../../shared/format/catalogue.ts'
import { GENESIS_HASH } from '../../shared/format/chain.ts'
import { decodeManifest, type SegmentRange } from '../../shared/format/manifest.ts'
import { manifestPath, segmentPath, streamPath } from '../../shared/format/paths.ts'
import { MIB } from '../../shared/limits.ts'
import type { Disk } from '../disk/disk.ts'
import { readFully, withFile } from '../disk/files.ts'
import { ChainCheck } from './chain-check.ts'
import type { Draft } from './draft.ts'
import { withWindow } from './file-window.ts'
import { SegmentCheck, type SegmentExtent } from './segment-check.ts'

/** A manifest that is larger is none: it names a segment in about 150 bytes. */
const MANIFEST_BYTES_MAX = 64 * MIB

const SEGMENT_NAME = /^segment_(\d{6,})\.log$/
const INDEX_NAME = /^segment_(\d{6,})\.idx$/

/** Checks what is in segments of one stream, below the extent that the catalogue vouches for. */
export class StreamCheck {
  readonly #disk: Disk
  readonly #entry: StreamEntry
  readonly #draft: Draft
  readonly #directory: string
  readonly #chain: ChainCheck

  constructor(disk: Disk, entry: StreamEntry, draft: Draft) {
    this.#disk = disk
    this.#entry = entry
    this.#draft = draft
    this.#directory = streamPath(entry.name)
    this.#chain = new ChainCheck(entry.name, entry.streamId, 0, GENESIS_HASH, draft)
  }

  /** @throws DiskError when a file cannot be read */
  run(): void {
    const entry = this.#entry
    this.#draft.counts.streams += 1
    if (entry.nextOffset === 0) return // no directory before the first record is stored
    const sealed = this.#readManifest()
    for (const number of this.#numbers(sealed ?? [])) {
      const range = sealed?.find(candidate => candidate.number === number)
      this.#checkSegment(range ?? this.#guess(number, sealed !== undefined))
      if (range !== undefined) {
        this.#expectHead(hexToLatin1(range.chainHead), 'the manifest names another hash for it')
      }
    }
    this.#checkSegment({
      number: entry.segment,
      firstOffset: entry.segmentFirstOffset,
      nextOffset: entry.nextOffset,
      bytes: entry.segmentBytes,
    })
    this.#expectHead(entry.chainHead, 'the catalogue names another hash for it')
    this.#noteStrangers()
  }

  /** The sealed segments below the active one; undefined when the manifest cannot be used. */
  #readManifest(): readonly SegmentRange[] | undefined {
    const { name, streamId, segment } = this.#entry
    const path = manifestPath(this.#directory)
    if (!this.#disk.exists(path)) {
      this.#draft.damage({ file: path, stream: name, reason: 'the manifest is missing' })
      return undefined
    }
    const bytes = withFile(this.#disk, path, 'read', file =>
      readFully(this.#disk, file, 0, Math.min(this.#disk.size(file), MANIFEST_BYTES_MAX)),
    )
    const manifest = decodeManifest(bytes)
    const isHis = manifest?.stream === name && manifest.streamId === latin1ToHex(streamId)
    if (manifest !== undefined && isHis && isList(manifest.sealed)) {
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

  /** Sealed segments that there are or ought to be; one that is missing altogether leaves a gap. */
  #numbers(sealed: readonly SegmentRange[]): number[] {
    const names = this.#disk.exists(this.#directory) ? this.#disk.list(this.#directory) : []
    const found = names.map(name => Number(SEGMENT_NAME.exec(name)?.[1] ?? this.#entry.segment))
    const numbers = new Set([...found, ...sealed.map(range => range.number)])
    return [...numbers]
      .filter(number => number < this.#entry.segment)
      .sort((left, right) => left - right)
  }

  /** What a sealed segment has to hold when the manifest does not say: all of its file. */
  #guess(number: number, isManifestSound: boolean): SegmentExtent {
    const path = segmentPath(this.#directory, number)
    const { bytes, first } = withWindow(this.#disk, path, file => ({
      bytes: file.size,
      first: file.record(0, file.size)?.record.offset,
    }))
    const firstOffset = first ?? this.#chain.nextOffset
    if (isManifestSound) {
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
      const path = segmentPath(this.#directory, next)
      const found = withWindow(this.#disk, path, file => file.record(0, file.size))
      if (found !== undefined) return found.record.offset
    }
    return this.#entry.segmentFirstOffset
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
      SegmentCheck.run(this.#disk, this.#directory, stream, extent, this.#chain, this.#draft)
      return
    }
    if (extent.nextOffset === extent.firstOffset) return
    const offsets: [number, number] = [extent.firstOffset, extent.nextOffset]
    this.#draft.damage({ file, stream, offsets, reason: 'the segment is missing' })
    this.#chain.lose(extent.nextOffset)
  }

  #expectHead(head: string, reason: string): void {
    this.#chain.expectHead(head, { file: this.#directory, at: 0, end: 0 }, reason)
  }

  #noteStrangers(): void {
    if (!this.#disk.exists(this.#directory)) return
    for (const name of this.#disk.list(this.#directory)) {
      const file = `${this.#directory}/${name}`
      const number = Number((SEGMENT_NAME.exec(name) ?? INDEX_NAME.exec(name))?.[1] ?? Number.NaN)
      if (number <= this.#entry.segment || file === manifestPath(this.#directory)) continue
      const reason = 'not a file of this stream: of a checkpoint without a commit, or put there'
      this.#draft.note({ file, stream: this.#entry.name, reason })
    }
  }
}

/** Whether it is what its type says: a checksum that fits says only that somebody computed it. */
function isList(sealed: readonly (Partial<SegmentRange> | null)[] | undefined): boolean {
  return (
    Array.isArray(sealed) &&
    sealed.every(
      (range: Partial<SegmentRange> | null) =>
        typeof range?.chainHead === 'string' &&
        [range.number, range.firstOffset, range.nextOffset, range.bytes].every(
          Number.isSafeInteger,
        ),
    )
  )
}

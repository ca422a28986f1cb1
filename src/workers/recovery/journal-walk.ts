import {
  type BlockHeader,
  BLOCK_HEADER_BYTES,
  blockBodyChecks,
  blockBytes,
  blockHash,
  decodeBlockHeader,
  looksBegun,
} from '../../shared/format/block.ts'
import type { JournalHeader } from '../../shared/format/journal-header.ts'
import { journalPath } from '../../shared/format/paths.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import type { Disk } from '../disk/disk.ts'
import { readFully, withFile } from '../disk/files.ts'
import { listJournalFiles, readJournalHeader, readNewest } from '../journal/journal-files.ts'
import { type Decision, decide, type Found } from './decision.ts'

// Walks a shard's journal from its last write-back to its end, and classifies that end. Each block
// must follow the one before by number and hash. Reads only; one file is in memory at a time.

/** Where a walk starts: right after the last block of the catalogue's last commit. */
export type WalkStart = {
  readonly lsn: number
  readonly journalFile: number
  readonly blockNumber: number
  readonly blockHash: string
}

export type Block = {
  readonly header: BlockHeader
  /** Its frames. */
  readonly body: Buffer
  readonly file: number
  /** Byte position in that file. */
  readonly position: number
}

export type WalkEnd = {
  readonly decision: Decision
  readonly found: Found
  /** The last valid block; `number` 0 before the first. */
  readonly blockNumber: number
  readonly blockHash: string
  /** Number of the last block that is proven to have been synced. */
  readonly durableThrough: number
  /** The file that holds the end, and its header. */
  readonly file: JournalHeader
  readonly position: number
  /** Bytes of the unfinished block, when it is cut. */
  readonly cutBytes: number
  /** Highest epoch of any file. */
  readonly epoch: number
}

/** The journal or the catalogue is damaged; the message names the file and bytes if it can. */
export class JournalDamage extends Error {
  override readonly name = 'JournalDamage'
}

export class JournalWalk {
  readonly #disk: Disk
  readonly #shard: number
  readonly #files: readonly number[]
  readonly #cutBytesMax: number
  #file: JournalHeader
  #bytes: Buffer
  #position: number
  #last: { number: number; hash: string }
  #durableThrough: number

  /** @param cutBytesMax the largest block whose header does not say its length */
  constructor(disk: Disk, shard: number, start: WalkStart, cutBytesMax: number) {
    this.#disk = disk
    this.#shard = shard
    this.#cutBytesMax = cutBytesMax
    // Files below are from before the checkpoint: freed, or about to be.
    this.#files = listJournalFiles(disk, shard).filter(number => number >= start.journalFile)
    checkFiles(this.#files, start.journalFile, readNewest(disk, shard)?.file)
    this.#file = this.#openFile(start.journalFile)
    this.#bytes = this.#read(this.#file)
    this.#position = PAGE_BYTES + start.lsn - this.#file.firstLsn
    this.#last = { number: start.blockNumber, hash: start.blockHash }
    this.#durableThrough = start.blockNumber
    const isInside = this.#position >= PAGE_BYTES && this.#position <= this.#bytes.length
    if (!isInside)
      throw new JournalDamage(`LSN ${start.lsn} is not in journal file ${start.journalFile}`)
    this.#checkStart()
  }

  /**
   * Detects a journal file that was rolled back to an older copy: it has no block right before the
   * start. The block's content is no longer needed, so damage to it does not count.
   * @throws JournalDamage
   */
  #checkStart(): void {
    let at = this.#position - PAGE_BYTES
    while (at >= PAGE_BYTES && !this.#isSalted(at)) at -= PAGE_BYTES
    const header = at < PAGE_BYTES ? undefined : decodeBlockHeader(this.#bytes, at)
    const end = at < PAGE_BYTES ? at : at + blockBytes(header?.bodyLength ?? 0)
    const isReached = at < PAGE_BYTES ? this.#position === PAGE_BYTES : end >= this.#position
    if (isReached || this.#find(this.#bytes, Math.max(end, PAGE_BYTES)) === 'garbage') return
    throw new JournalDamage(
      `journal file ${this.#file.number} ends at byte ${Math.max(end, PAGE_BYTES)}, before the ` +
        `block ${this.#last.number} that the catalogue names: it is an older copy`,
    )
  }

  /** Whether a page holds a sound block header of this use of the file. */
  #isSalted(position: number): boolean {
    const header = decodeBlockHeader(this.#bytes, position)
    return header !== undefined && header.salt === this.#file.salt
  }

  /** Yields the valid blocks in order. */
  *blocks(): Generator<Block> {
    for (;;) {
      const header = this.#validBlock(this.#file, this.#bytes, this.#position)
      if (header !== undefined) {
        yield this.#take(header)
        continue
      }
      if (!this.#turnPage()) return
    }
  }

  /** Classifies the end of the journal. Call it after the last of `blocks`. */
  end(): WalkEnd {
    const here = this.#find(this.#bytes, this.#position)
    const next = this.#nextFile()
    const there = next === undefined ? 'end of file' : this.#find(next.bytes, PAGE_BYTES, next.file)
    // An unfinished block may be the first of the next file: then nothing follows in this one.
    const isThere =
      (here === 'zeros' || here === 'stale' || here === 'end of file') &&
      (there === 'torn' || there === 'garbage')
    const found = isThere ? there : here
    const decision = decide(found, this.#isVouched(next))
    return {
      decision,
      found,
      blockNumber: this.#last.number,
      blockHash: this.#last.hash,
      durableThrough: this.#durableThrough,
      file: isThere && next !== undefined ? next.file : this.#file,
      position: isThere ? PAGE_BYTES : this.#position,
      cutBytes: decision === 'cut' ? this.#cutLength(isThere ? next?.bytes : undefined) : 0,
      epoch: this.#epochMax(),
    }
  }

  /** Where the last valid block ends, or the walk began. */
  get endLsn(): number {
    return this.#file.firstLsn + this.#position - PAGE_BYTES
  }

  /** The file that holds the last block. */
  get file(): JournalHeader {
    return this.#file
  }

  #take(header: BlockHeader): Block {
    const start = this.#position
    const bodyAt = start + BLOCK_HEADER_BYTES
    const block: Block = {
      header,
      body: this.#bytes.subarray(bodyAt, bodyAt + header.bodyLength),
      file: this.#file.number,
      position: start,
    }
    this.#last = { number: header.number, hash: blockHash(this.#bytes, start) }
    this.#durableThrough = Math.max(this.#durableThrough, header.durableThrough)
    this.#position += blockBytes(header.bodyLength)
    return block
  }

  /** Returns the header of the block at `position` if it is whole and follows the last one. */
  #validBlock(file: JournalHeader, bytes: Buffer, position: number): BlockHeader | undefined {
    const header = decodeBlockHeader(bytes, position)
    const follows =
      header !== undefined &&
      header.salt === file.salt &&
      header.epoch === file.epoch &&
      header.number === this.#last.number + 1 &&
      header.previousHash === this.#last.hash &&
      header.lsn === file.firstLsn + position - PAGE_BYTES &&
      blockBodyChecks(bytes, position, header)
    return follows ? header : undefined
  }

  #nextFile(): { file: JournalHeader; bytes: Buffer } | undefined {
    if (!this.#files.includes(this.#file.number + 1)) return undefined
    const file = this.#openFile(this.#file.number + 1)
    return { file, bytes: this.#read(file) }
  }

  /** Moves to the next file if the next block is at its start. */
  #turnPage(): boolean {
    const next = this.#nextFile()
    if (next === undefined) return false
    // A file prepared after one that was since replaced by a larger one does not fit this chain.
    if (next.file.firstLsn !== this.#file.firstLsn + this.#file.capacity) return false
    if (this.#validBlock(next.file, next.bytes, PAGE_BYTES) === undefined) return false
    this.#file = next.file
    this.#bytes = next.bytes
    this.#position = PAGE_BYTES
    return true
  }

  #find(bytes: Buffer, position: number, file = this.#file): Found {
    if (position >= bytes.length) return 'end of file'
    const page = bytes.subarray(position, position + PAGE_BYTES)
    if (page.every(byte => byte === 0)) return 'zeros'
    const header = decodeBlockHeader(bytes, position)
    if (header !== undefined) return header.salt === file.salt ? 'torn' : 'stale'
    return looksBegun(page, file.salt) ? 'garbage' : 'stale'
  }

  /** Whether anything proves that the block after the last valid one was durable. */
  #isVouched(next: { file: JournalHeader; bytes: Buffer } | undefined): boolean {
    const expected = this.#last.number + 1
    if (this.#durableThrough >= expected) return true
    if (hasLaterBlock(this.#file, this.#bytes, this.#position, expected)) return true
    if (next !== undefined && hasLaterBlock(next.file, next.bytes, PAGE_BYTES, expected))
      return true
    return this.#files
      .filter(number => number > this.#file.number + 1)
      .some(number => {
        const file = this.#openFile(number)
        return hasLaterBlock(file, this.#read(file), PAGE_BYTES, expected)
      })
  }

  #cutLength(nextBytes: Buffer | undefined): number {
    const bytes = nextBytes ?? this.#bytes
    const position = nextBytes === undefined ? this.#position : PAGE_BYTES
    const header = decodeBlockHeader(bytes, position)
    const length = header === undefined ? this.#cutBytesMax : blockBytes(header.bodyLength)
    return Math.min(length, bytes.length - position)
  }

  #epochMax(): number {
    return Math.max(...this.#files.map(number => this.#openFile(number).epoch))
  }

  #openFile(number: number): JournalHeader {
    const header = readJournalHeader(this.#disk, this.#shard, number)
    if (header !== undefined) return header
    throw new JournalDamage(
      `journal file ${number}, bytes 0 to ${PAGE_BYTES}: damaged, or of a newer format`,
    )
  }

  #read(file: JournalHeader): Buffer {
    return withFile(this.#disk, journalPath(this.#shard, file.number), 'read', handle =>
      readFully(this.#disk, handle, 0, this.#disk.size(handle)),
    )
  }
}

/** Returns the numbers from `first` to the newest file's for which there is no file. */
export function missingFiles(files: readonly number[], first: number, newest: number): number[] {
  const last = Math.max(first, newest, ...files)
  const numbers = Array.from({ length: last - first + 1 }, (_, at) => first + at)
  return numbers.filter(number => !files.includes(number))
}

/** Checks that every journal file from `first` to the newest exists. @throws JournalDamage */
function checkFiles(files: readonly number[], first: number, newest: number | undefined): void {
  if (newest === undefined) {
    throw new JournalDamage(
      'newest.json and its second copy are damaged or missing, so a newer journal file may be lost',
    )
  }
  const missing = missingFiles(files, first, newest)
  if (missing.length === 0) return
  const [from, to] = [missing[0] as number, missing.at(-1) as number]
  const names = from === to ? `journal file ${from} is` : `journal files ${from} to ${to} are`
  const isFirst = from === first && files.length > 0
  const reason = isFirst ? ', or the catalogue has lost the commit that freed it' : ''
  throw new JournalDamage(`${names} missing${reason}`)
}

/** Whether a valid header of this use of `file` says that block `expected` was durable. */
function hasLaterBlock(
  file: JournalHeader,
  bytes: Buffer,
  from: number,
  expected: number,
): boolean {
  for (let at = from; at < bytes.length; at += PAGE_BYTES) {
    const header = decodeBlockHeader(bytes, at)
    if (header === undefined || header.salt !== file.salt || header.epoch !== file.epoch) continue
    if (header.number > expected || header.durableThrough >= expected) return true
  }
  return false
}

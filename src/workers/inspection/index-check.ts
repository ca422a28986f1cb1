import {
  decodeIndexPage,
  entryPosition,
  followsCheckpoint,
  INDEX_PAGE_ENTRIES,
  indexEntry,
} from '../../shared/format/index-page.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import { DiskError } from '../disk/disk.ts'
import type { Draft } from './draft.ts'
import type { FileWindow } from './file-window.ts'

/** A segment's index, held against the records as they are found. Notes only: it is a cache. */
export class IndexCheck {
  readonly #path: string
  readonly #file: FileWindow | undefined
  readonly #draft: Draft
  #page = -1
  #entries: readonly number[] | undefined
  #notedPage = -1
  #soundPage = -1

  /** @param file undefined if the index is missing or cannot be opened */
  constructor(path: string, file: FileWindow | undefined, draft: Draft) {
    this.#path = path
    this.#file = file
    this.#draft = draft
    const reason = `the index is missing or cannot be read${REBUILT}`
    if (file === undefined) draft.note({ file: path, reason })
  }

  /** Where record number `ordinal` of the segment starts, as far as the index can be trusted. */
  position(ordinal: number): number | undefined {
    const entry = this.#entry(ordinal)
    return entry === undefined ? undefined : entryPosition(entry)
  }

  /** Whether it says that a checkpoint lies right before record number `ordinal`. */
  followsCheckpoint(ordinal: number): boolean {
    const entry = this.#entry(ordinal)
    return entry !== undefined && followsCheckpoint(entry)
  }

  #entry(ordinal: number): number | undefined {
    const page = Math.floor(ordinal / INDEX_PAGE_ENTRIES)
    if (page !== this.#page) {
      this.#page = page
      const bytes = this.#read(page)
      this.#entries = bytes && decodeIndexPage(bytes, page)
    }
    return this.#entries?.[ordinal % INDEX_PAGE_ENTRIES]
  }

  /** Reads a page; undefined if the disk cannot read it, which counts as a damaged page. */
  #read(page: number): Buffer | undefined {
    try {
      return this.#file?.read(page * PAGE_BYTES, PAGE_BYTES)
    } catch (error) {
      if (error instanceof DiskError) return undefined
      throw error
    }
  }

  /**
   * Holds the entry of a sound record against where that record is.
   * @param isBehindCheckpoint whether a checkpoint lies right before it in the segment
   */
  check(ordinal: number, position: number, isBehindCheckpoint: boolean): void {
    if (this.#file === undefined) return
    const isRight = this.#entry(ordinal) === indexEntry(position, isBehindCheckpoint)
    const page = this.#page
    if (isRight && page !== this.#soundPage) this.#draft.counts.indexPages += 1
    if (isRight) this.#soundPage = page
    if (isRight || page === this.#notedPage) return
    this.#notedPage = page
    this.#draft.note({
      file: this.#path,
      bytes: [page * PAGE_BYTES, (page + 1) * PAGE_BYTES],
      reason: `page ${page} is not what the segment says${REBUILT}`,
    })
  }
}

const REBUILT = '; it is rebuilt at its next use'

import {
  decodeIndexPage,
  entryPosition,
  followsCheckpoint,
  INDEX_PAGE_ENTRIES,
} from '../../shared/format/index-page.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import type { FileWindow } from './file-window.ts'
import type { Listing } from './listing.ts'
import { describe } from './text.ts'

export function inspectIndex(file: FileWindow, listing: Listing): void {
  for (let at = 0; at < file.size; at += PAGE_BYTES) {
    const page = at / PAGE_BYTES
    const entries = decodeIndexPage(file.read(at, PAGE_BYTES), page)
    if (entries === undefined) {
      listing.damage(
        [at, Math.min(at + PAGE_BYTES, file.size)],
        `index page ${page} does not check`,
      )
      continue
    }
    listing.line(describe(`index page ${page}`, at, { entries: entries.length }))
    for (const [ordinal, entry] of entries.entries()) {
      const number = page * INDEX_PAGE_ENTRIES + ordinal
      const behind = followsCheckpoint(entry) ? ', behind a checkpoint' : ''
      listing.line(`  record ${number} of the segment is at ${entryPosition(entry)}${behind}`)
    }
  }
}

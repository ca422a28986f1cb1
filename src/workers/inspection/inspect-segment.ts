import type { FileWindow } from './file-window.ts'
import type { Listing } from './listing.ts'
import { describeRecord } from './text.ts'

export function inspectSegment(file: FileWindow, listing: Listing): void {
  for (let at = 0; at < file.size; ) {
    const found = file.record(at, file.size)
    if (found !== undefined) {
      listing.line(describeRecord(found.bytes, found.record, at))
      at += found.record.end
      continue
    }
    const next = nextRecord(file, at)
    listing.damage([at, next], 'no whole record')
    at = next
  }
}

function nextRecord(file: FileWindow, from: number): number {
  let at = file.nextMarker(from + 1, file.size)
  while (at < file.size && file.record(at, file.size) === undefined) {
    at = file.nextMarker(at + 1, file.size)
  }
  return at
}

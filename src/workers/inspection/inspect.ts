import { decodeSealedJson } from '../../shared/format/sealed-json.ts'
import { MIB, PAGE_BYTES } from '../../shared/limits.ts'
import { StoreError } from '../../shared/errors.ts'
import type { InspectionMessage } from '../../shared/protocol/inspection.ts'
import type { Disk } from '../disk/disk.ts'
import { type FileWindow, withWindow } from './file-window.ts'
import { inspectCatalogue } from './inspect-catalogue.ts'
import { inspectIndex } from './inspect-index.ts'
import { inspectBlocks, inspectJournal } from './inspect-journal.ts'
import { inspectKey } from './inspect-key.ts'
import { inspectSegment } from './inspect-segment.ts'
import { Listing } from './listing.ts'
import { escapeControls, quote } from './text.ts'

type Kind = 'journal' | 'segment' | 'index' | 'catalogue' | 'json' | 'quarantine' | 'key'

/** First bytes of each kind of file. */
const MARKS: readonly (readonly [mark: string, kind: Kind])[] = [
  ['VJNL', 'journal'],
  ['VRCD', 'segment'],
  ['VIDX', 'index'],
  ['VCAT', 'catalogue'],
  ['VBLK', 'quarantine'],
  ['{"crc32"', 'json'],
  ['-----BEG', 'key'],
]
const NAMES: readonly (readonly [name: RegExp, kind: Kind])[] = [
  [/\.(wal|spare)$/, 'journal'],
  [/\.log$/, 'segment'],
  [/\.idx$/, 'index'],
  [/^(shard-\d+\.)?catalogue(\.tmp)?$/, 'catalogue'],
  [/\.cut$/, 'quarantine'],
  [/\.json(\.tmp)?$/, 'json'],
  [/\.(pub|pem)(\.tmp)?$/, 'key'],
]
/** A file of JSON that is larger is none of ours. */
const JSON_BYTES_MAX = 64 * MIB

/**
 * Shows what one file holds, a line a structure, and goes on behind what does not check.
 * @throws StoreError invalid_request when it is none of ours
 */
export function inspectFile(
  disk: Disk,
  path: string,
  post: (message: InspectionMessage) => void,
): void {
  withWindow(disk, path, file => {
    const kind = recognise(file, path)
    if (kind === undefined) {
      throw new StoreError('invalid_request', `${path} is not a file of a data directory`)
    }
    const listing = new Listing(path, post)
    listing.line(`${kind}, ${file.size} bytes`)
    INSPECTORS[kind](file, listing)
  })
}

function recognise(file: FileWindow, path: string): Kind | undefined {
  const start = file.read(0, 8).toString('latin1')
  const byName = NAMES.find(([name]) => name.test(path))?.[1]
  // The name comes first, for a file whose first bytes are damaged.
  return byName ?? MARKS.find(([mark]) => start.startsWith(mark))?.[1]
}

const INSPECTORS: Readonly<Record<Kind, (file: FileWindow, listing: Listing) => void>> = {
  journal: inspectJournal,
  segment: inspectSegment,
  index: inspectIndex,
  catalogue: inspectCatalogue,
  quarantine: (file, listing) => inspectBlocks(file, 0, undefined, listing),
  json: inspectJson,
  key: inspectKey,
}

function inspectJson(file: FileWindow, listing: Listing): void {
  const bytes = file.read(0, Math.min(file.size, JSON_BYTES_MAX))
  const body = decodeSealedJson(bytes)
  if (body === undefined) {
    listing.damage([0, file.size], 'it is cut off or its checksum is wrong; this is what it says')
    return listing.line(quote(bytes.subarray(0, PAGE_BYTES).toString()))
  }
  for (const text of JSON.stringify(body, null, 2).split('\n')) listing.line(escapeControls(text))
}

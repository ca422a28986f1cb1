import { latin1ToHex } from '../../shared/format/bytes.ts'
import {
  type CatalogueEntry,
  decodeEntry,
  ENTRY_BYTES_MAX,
  ENTRY_HEADER_BYTES,
  EntryType,
} from '../../shared/format/catalogue.ts'
import { CHANGE_NAMES, checkpointOf } from '../../shared/format/checkpoint.ts'
import type { FileWindow } from './file-window.ts'
import type { Listing } from './listing.ts'
import { describe, quote, time } from './text.ts'

export function inspectCatalogue(file: FileWindow, listing: Listing): void {
  for (let at = 0; at < file.size; ) {
    const entry = entryAt(file, at)
    if (entry === undefined) {
      let next = at + 1
      while (next < file.size && entryAt(file, next) === undefined) next += 1
      listing.damage([at, next], 'no whole entry')
      at = next
      continue
    }
    listing.line(describeEntry(entry, at))
    at += entry.end
  }
}

function entryAt(file: FileWindow, at: number): CatalogueEntry | undefined {
  const entry = decodeEntry(file.read(at, ENTRY_HEADER_BYTES + ENTRY_BYTES_MAX), 0)
  return entry?.place.position === at ? entry : undefined
}

function describeEntry(entry: CatalogueEntry, at: number): string {
  switch (entry.type) {
    case EntryType.Removed:
      return describe('removed', at, { id: latin1ToHex(entry.streamId) })
    case EntryType.Decision:
      return describe('decision', at, { transaction: entry.transaction })
    case EntryType.Witness:
      return describe('witness', at, entry.witness)
    case EntryType.Commit: {
      const { blockHash, timestamp, clockMicros, ...fields } = entry.commit
      return describe('commit', at, {
        ...fields,
        time: time(timestamp),
        clock: time(clockMicros),
        blockHash: latin1ToHex(blockHash),
      })
    }
    case EntryType.Stream: {
      const { name, config, streamId, chainHead, createdAt, lastTimestamp, closed, ...rest } =
        entry.stream
      const { trimPoint, producers, segmentSince, recordHash, unwritten, ...others } = rest
      const { creationHash, stateCheckpoint, ...fields } = others
      return describe('stream', at, {
        name: quote(name),
        id: latin1ToHex(streamId),
        state: closed ? 'closed' : 'open',
        ...fields,
        trimOffset: trimPoint.offset,
        trimHash: latin1ToHex(trimPoint.hash),
        trimRecordHash: latin1ToHex(trimPoint.recordHash),
        producers: producers.length,
        unwrittenBytes: unwritten.length,
        segmentSince: time(segmentSince),
        createdAt: time(createdAt),
        lastTimestamp: time(lastTimestamp),
        chainHead: latin1ToHex(chainHead),
        recordHash: latin1ToHex(recordHash),
        config: quote(config),
        creationHash: latin1ToHex(creationHash),
        ...describeChange(stateCheckpoint),
      })
    }
  }
}

/** Returns the fields of the checkpoint that signed the state; none if it never changed. */
function describeChange(stateCheckpoint: string): Record<string, string> {
  if (stateCheckpoint === '') return {}
  const body = checkpointOf(stateCheckpoint)
  if (body === undefined) return { lastChange: 'makes no sense' }
  return { lastChange: CHANGE_NAMES[body.change], stateHash: latin1ToHex(body.stateHash) }
}

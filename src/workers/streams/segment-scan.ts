import { RecordKind } from '../../shared/format/record.ts'
import type { ChainElement, LostRecords } from '../../shared/format/vouching.ts'
import type { SegmentExtent } from './segment-extent.ts'
import type { SegmentFile } from './segment-file.ts'
import type { SegmentIndex } from './segment-index.ts'

const NOTHING = Buffer.alloc(0)
const NO_RECORD = { offset: -1, kind: RecordKind.Data, at: 0, end: 0 }
const NOT_WHOLE = 'it does not check'

/**
 * Yields the elements of a segment from record `low` to the end: checked records and checkpoints,
 * and the ranges of lost records between them.
 * @param from byte position of record `low` (the default), or of a checkpoint right before it
 * @param claimAt before the record of this offset, its unchecked previous hash is yielded alone
 */
export function* scanSegment(
  segment: SegmentExtent,
  file: SegmentFile,
  index: SegmentIndex,
  low: number,
  from: number | undefined,
  claimAt: number,
): Generator<ChainElement> {
  let offset = low
  let position = from ?? index.position(low)
  let hasClaimed = low >= claimAt
  while (position === undefined || position < segment.bytes) {
    if (!hasClaimed && offset >= claimAt && position !== undefined) {
      hasClaimed = true
      const claimed = file.claimedAt(position)
      if (claimed?.offset === offset) yield { claim: claimed.previousHash }
    }
    const found = position === undefined ? undefined : file.recordAt(position)
    const { offset: is, kind, at, end } = found?.record ?? NO_RECORD
    const isData = kind === RecordKind.Data
    if (found !== undefined && is === offset && !(isData && is === segment.nextOffset)) {
      yield found
      position = (position as number) + end - at
      if (isData) offset += 1
      continue
    }
    const { lost, resume } = lose(segment, file, index, offset, position)
    yield lost
    position = resume
    offset = lost.to
  }
  if (offset === segment.nextOffset) return
  const reason = file.fault ?? NOT_WHOLE
  yield { lost: true, from: offset, to: segment.nextOffset, reason, bytes: NOTHING, at: 0 }
}

/**
 * Returns the range that is lost at `position`, where record `offset` or a checkpoint before it
 * should be, and the position of the next whole record.
 */
function lose(
  segment: SegmentExtent,
  file: SegmentFile,
  index: SegmentIndex,
  offset: number,
  position: number | undefined,
): { readonly lost: LostRecords; readonly resume: number } {
  const window = position === undefined ? undefined : file.windowAt(position)
  const { bytes, at } = window ?? { bytes: NOTHING, at: 0 }
  const indexed = index.position(offset)
  if (position !== undefined && indexed !== undefined && indexed > position) {
    const reason = file.fault ?? 'a checkpoint does not check'
    return { lost: { lost: true, from: offset, to: offset, reason, bytes, at }, resume: indexed }
  }
  const [to, resume] = nextWhole(segment, file, index, offset + 1)
  const reason = file.fault ?? NOT_WHOLE
  return { lost: { lost: true, from: offset, to, reason, bytes, at }, resume }
}

function nextWhole(
  segment: SegmentExtent,
  file: SegmentFile,
  index: SegmentIndex,
  low: number,
): [offset: number, position: number] {
  for (let offset = low; offset < segment.nextOffset; offset += 1) {
    const position = index.position(offset)
    if (position === undefined) continue
    if (position >= file.available) break
    if (file.viewAt(position)?.offset === offset) return [offset, position]
  }
  return [segment.nextOffset, segment.bytes]
}

import { decodeFrame } from '../../shared/format/frame.ts'
import { decodeOperation, type Operation, OperationType } from '../../shared/format/operation.ts'
import { segmentPath, streamPath } from '../../shared/format/paths.ts'
import type { Reference } from '../../shared/format/reference.ts'
import { SLOT_BYTES } from '../../shared/limits.ts'
import type { Disk } from '../disk/disk.ts'
import { JournalDamage, JournalWalk, type WalkStart } from '../recovery/journal-walk.ts'
import type { ChainCheck } from './chain-check.ts'
import type { Draft } from './draft.ts'
import { type FileWindow, withWindow } from './file-window.ts'

/**
 * Checks the records that a reference in the journal says lie in a segment: they are there, and go
 * on with the stream's chain to the hash that it names.
 */
export function checkReference(
  disk: Disk,
  stream: string,
  chain: ChainCheck,
  reference: Reference,
  draft: Draft,
): void {
  const file = segmentPath(streamPath(stream), reference.segment)
  const end = reference.firstOffset + reference.count
  if (!disk.exists(file)) {
    draft.damage({ file, stream, offsets: [chain.nextOffset, end], reason: 'a segment is missing' })
    return chain.lose(end)
  }
  withWindow(disk, file, window => {
    const { segmentBytes, length, chainHead } = reference
    const from = segmentBytes - length
    const at = follow(window, file, chain, from, segmentBytes)
    if (at === segmentBytes && chain.nextOffset === end) {
      const place = { file, at: from, end: segmentBytes }
      return chain.expectHead(chainHead, place, 'the journal names another hash for it')
    }
    const reason = 'what the journal refers to does not check'
    const offsets = [Math.min(chain.nextOffset, end), end] as const
    draft.damage({ file, stream, offsets, bytes: [at, segmentBytes], reason })
    chain.lose(end)
  })
}

/** Follows the records of `[from, to)` as far as they check; returns where that is. */
function follow(
  window: FileWindow,
  file: string,
  chain: ChainCheck,
  from: number,
  to: number,
): number {
  let at = from
  while (at < to) {
    const found = window.record(at, to)
    if (found?.record.offset !== chain.nextOffset) break
    const end = at + found.record.end
    chain.accept({ file, at, end }, found.bytes, found.record)
    at = end
  }
  return at
}

/** Ids of the streams that a journal deletes, as far as it can be walked. */
export function deletedStreams(disk: Disk, shard: number, start: WalkStart): ReadonlySet<string> {
  const deleted = new Set<string>()
  try {
    for (const { body } of new JournalWalk(disk, shard, start, SLOT_BYTES).blocks()) {
      for (const operation of operationsIn(body)) {
        if (operation.type === OperationType.Delete) deleted.add(operation.streamId)
      }
    }
  } catch (error) {
    if (!(error instanceof JournalDamage)) throw error // named by the check itself
  }
  return deleted
}

function* operationsIn(body: Buffer): Generator<Operation> {
  for (let at = 0; at < body.length; ) {
    const frame = decodeFrame(body, at, body.length)
    if (frame === undefined) return
    for (let op = frame.payloadAt; op < frame.end; ) {
      const operation = decodeOperation(body, op, frame.end)
      if (operation === undefined) return
      yield operation
      op = operation.end
    }
    at = frame.end
  }
}

import { assert } from '../../shared/assert.ts'
import { decodeEntry, EntryType, type StreamEntry } from '../../shared/format/catalogue.ts'
import { streamPath } from '../../shared/format/paths.ts'
import { viewRecord } from '../../shared/format/record.ts'
import {
  type CheckpointJob,
  STORED_END_NUMBERS,
  type StoredEndNumbers,
  type StoreJob,
  type TrimmedStream,
  type WriteFault,
} from '../../shared/protocol/checkpointer.ts'
import { encodeUnwritten } from './unwritten-records.ts'

/** A stream of a job, and the result for it. */
export type StoredStream = {
  /** The entry that the job asks for; its extent still says how far the segments reach now. */
  readonly entry: StreamEntry
  readonly frames: readonly Buffer[]
  /** Sum of StreamFlag. */
  readonly flags: number
  readonly storedEnd: StoredEndNumbers
  readonly directory: string
  /** The entry to commit. */
  stored: StreamEntry
  /** Bytes of its trimmed segments. */
  freedBytes: number
  trimmed: TrimmedStream | undefined
  /** Why it was left out. */
  fault: WriteFault | undefined
}

export type StreamJob = Pick<StoreJob, 'entries' | 'frames' | 'chunks'> &
  Partial<Pick<CheckpointJob, 'storedEnds' | 'reserveBytes'>>

/** Returns whether the stream has no segment yet. */
export function isUnstored({ segment, segmentBytes }: StreamEntry): boolean {
  return segment === 0 && segmentBytes === 0
}

/** Returns a stream's entry with the extent of its segments now, and the frames after it. */
export function unwrittenEntry({ entry, frames, storedEnd }: StoredStream): StreamEntry {
  const first = frames[0] && viewRecord(frames[0], 0)
  if (first === undefined) return entry
  const { offset: nextOffset, previousHash } = first
  const [lastTimestamp, lastCheckpoint, segmentSince] = storedEnd
  const end = { nextOffset, chainHead: previousHash, lastTimestamp, lastCheckpoint, segmentSince }
  return { ...entry, ...end, unwritten: encodeUnwritten(entry.streamId, frames, entry.chainHead) }
}

/** Decodes the streams of a job. */
export function streamsOf({ entries, frames, chunks, storedEnds }: StreamJob): StoredStream[] {
  const bytes = Buffer.from(entries.buffer, entries.byteOffset, entries.length)
  const memory = chunks.map(chunk => Buffer.from(chunk))
  const streams: StoredStream[] = []
  let frameAt = 0
  for (let at = 0; at < bytes.length; ) {
    const decoded = decodeEntry(bytes, at)
    assert(decoded?.type === EntryType.Stream, 'a job carries stream entries')
    const { stream: entry } = decoded
    const flags = frames[frameAt] as number
    const framesEnd = frameAt + 2 + 3 * (frames[frameAt + 1] as number)
    const endAt = STORED_END_NUMBERS * streams.length
    const storedEnd = storedEnds?.subarray(endAt, endAt + STORED_END_NUMBERS) ?? []
    streams.push({
      entry,
      frames: sliceFrames(memory, frames.subarray(frameAt + 2, framesEnd)),
      flags,
      storedEnd: storedEnd as unknown as StoredEndNumbers,
      directory: streamPath(entry.name, entry.streamId),
      stored: entry,
      freedBytes: 0,
      trimmed: undefined,
      fault: undefined,
    })
    frameAt = framesEnd
    at = decoded.end
  }
  return streams
}

function sliceFrames(chunks: readonly Buffer[], frames: Uint32Array): Buffer[] {
  const slices: Buffer[] = []
  for (let at = 0; at < frames.length; at += 3) {
    const [chunk, from, length] = frames.subarray(at, at + 3) as unknown as [number, number, number]
    slices.push((chunks[chunk] as Buffer).subarray(from, from + length))
  }
  return slices
}

/** Returns the offset of the first record in frames; undefined without frames. */
export function firstOffsetOf(frames: readonly Buffer[]): number | undefined {
  return frames[0] === undefined ? undefined : viewRecord(frames[0], 0)?.offset
}

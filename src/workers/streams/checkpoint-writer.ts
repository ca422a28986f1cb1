import { assert } from '../../shared/assert.ts'
import {
  encodeCommitEntry,
  encodeDecisionEntry,
  encodeRemovedEntry,
  encodeStreamEntry,
  encodeWitnessEntry,
  type StreamEntry,
  streamEntryBytesMax,
} from '../../shared/format/catalogue.ts'
import type { StoredTrimPoint } from '../../shared/format/checkpoint.ts'
import {
  type CheckpointDone,
  type CheckpointJob,
  EXTENT_NUMBERS,
  type ExtentNumbers,
  type Findings,
  type StoreJob,
  StreamFlag,
  type WriteFault,
} from '../../shared/protocol/checkpointer.ts'
import type { StreamDamage } from '../../shared/protocol/streams.ts'
import type { CopyFaults } from '../disk/copy-faults.ts'
import type { Disk } from '../disk/disk.ts'
import type { Steps } from '../disk/sync-steps.ts'
import { freeJournalFiles } from '../journal/journal-files.ts'
import { appendToCatalogue, compactCatalogue, cutUncommitted } from './catalogue-copies.ts'
import { Removal } from './removal.ts'
import type { StoredStream } from './stored-stream.ts'
import { StreamWriter } from './stream-writer.ts'

// Carries out one write-back. Each step is durable before the next one begins:
//
//   1. write records to segments and new manifests to temporary files; sync them
//   2. rename the manifests into place; sync the directories
//   3. append the new extents and the commit to the catalogue; sync it. From here the write-back
//      holds
//   4. remove the files of deleted streams and the journal files below the new start
//   5. remove trimmed segments, in a later job, because reads planned before the commit may still
//      need them
//
// If an earlier try failed in step 3, its bytes are cut from the catalogue first.
//
// A crash before step 3 leaves two kinds of leftovers. Bytes past the extents of the last commit
// are overwritten when the journal is replayed. Manifests may already be the new ones, so a
// manifest keeps naming the segments that its own write-back trims: only the commit drops them.
//
// A stream whose files cannot be written in steps 1 and 2 does not stop the others: its entry keeps
// the old extent and takes the frames (stream-writer.ts). A failure that concerns more than one
// stream fails the job, which is then sent again from the start. After step 3 only a failed sync
// fails the job.

/** Returns how far the segments of a stream reach after a job. */
function extentNumbers({ entry, stored, fault, freedBytes }: StoredStream): ExtentNumbers {
  const { segment, segmentFirstOffset, segmentBytes, recordBytes, firstSegment } =
    fault === undefined ? stored : entry
  return [segment, segmentFirstOffset, segmentBytes, recordBytes, firstSegment, freedBytes]
}

export class CheckpointWriter implements Findings {
  readonly #disk: Disk
  readonly #shard: number
  readonly #faults: CopyFaults
  readonly damage: StreamDamage[] = []
  readonly notes: string[] = []

  constructor(disk: Disk, shard: number, faults: CopyFaults) {
    this.#faults = faults
    this.#disk = disk
    this.#shard = shard
  }

  /**
   * Carries out the write-back and returns the new extents.
   * @throws DiskError: nothing is committed then, unless a sync failed
   */
  *run(job: CheckpointJob): Steps<CheckpointDone> {
    yield* cutUncommitted(this.#disk, this.#shard, job.catalogueBytes, this.#faults)
    const writer = new StreamWriter(this.#disk)
    const streams = yield* this.#storeAll(writer, job)
    const trimPoints = new Map<number, StoredTrimPoint>()
    const unwritten = new Map<number, WriteFault>()
    const entries: Buffer[] = job.removed.map(({ streamId }) => encodeRemovedEntry(streamId))
    for (const [at, { stored, freedBytes, flags, fault }] of streams.entries()) {
      if (freedBytes > 0) trimPoints.set(at, stored.trimPoint)
      if (fault !== undefined) unwritten.set(at, fault)
      const isKnown = fault !== undefined && (flags & StreamFlag.AlreadyUnwritten) !== 0
      if (!isKnown) entries.push(encodeEntry(stored))
    }
    entries.push(...job.decisions.map(encodeDecisionEntry))
    entries.push(...job.witnesses.map(encodeWitnessEntry))
    const own = { entries: entries.length, shard: this.#shard }
    const commit = encodeCommitEntry({ ...job.commit, ...own })
    const place = { salt: job.catalogueSalt, position: job.catalogueBytes }
    const all = [...entries, commit]
    const end = yield* appendToCatalogue(this.#disk, this.#shard, place, all, this.#faults)
    const catalogueBytes = yield* this.#tidyUp(job, end, writer.unwrittenBytes)
    const extents = Float64Array.from(streams.flatMap(extentNumbers))
    assert(
      extents.length === EXTENT_NUMBERS * streams.length,
      `${extents.length} extent numbers are not those of ${streams.length} streams`,
    )
    return {
      kind: 'checkpoint',
      extents,
      unwritten,
      trimPoints,
      trimmed: streams.map(({ trimmed }) => trimmed).filter(one => one !== undefined),
      catalogueBytes,
      damage: this.damage,
      notes: this.notes,
    }
  }

  /**
   * Appends one stream's records to its segments and makes them durable. Does not touch the
   * catalogue. @throws DiskError
   */
  *store(job: StoreJob): Steps<ExtentNumbers> {
    const [only] = yield* this.#storeAll(new StreamWriter(this.#disk, 'records'), job)
    assert(only !== undefined, 'a store job is about a stream')
    return extentNumbers(only)
  }

  *#storeAll(writer: StreamWriter, job: CheckpointJob | StoreJob): Steps<StoredStream[]> {
    try {
      return yield* writer.store(job)
    } finally {
      this.damage.push(...writer.damage)
      this.notes.push(...writer.notes)
    }
  }

  /** Removes the files that the commit made obsolete. Returns the compacted catalogue's bytes. */
  *#tidyUp(job: CheckpointJob, bytes: number, unwrittenBytes: number): Steps<number> {
    const removal = new Removal(this.#disk)
    removal.removeStreams(job.removed.map(({ streamId }) => streamId))
    yield* removal.settle()
    removal.attempt(() => freeJournalFiles(this.#disk, this.#shard, job.commit.journalFile))
    const kept = { streams: job.streams, unwrittenBytes }
    const compacted = yield* compactCatalogue(this.#disk, this.#shard, bytes, kept, this.#faults)
    this.notes.push(...removal.notes, ...compacted.notes)
    return compacted.bytes
  }
}

function encodeEntry(entry: StreamEntry): Buffer {
  const { name, config, producers, unwritten } = entry
  const bytes = Buffer.alloc(streamEntryBytesMax(name, config, producers, unwritten))
  return bytes.subarray(0, encodeStreamEntry(bytes, 0, entry))
}

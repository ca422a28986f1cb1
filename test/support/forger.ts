import { chainHashOf } from '../../src/shared/format/chain.ts'
import {
  encodeCommitEntry,
  encodeStreamEntry,
  placeEntries,
  type StreamEntry,
  streamEntryBytesMax,
} from '../../src/shared/format/catalogue.ts'
import {
  checkpointFields,
  decodeCheckpointBody,
  encodeCheckpointBody,
  signedBytes,
} from '../../src/shared/format/checkpoint.ts'
import { encodeManifest, type Manifest } from '../../src/shared/format/manifest.ts'
import { catalogueCopyPath, cataloguePath, streamPath } from '../../src/shared/format/paths.ts'
import {
  decodeRecord,
  RECORD_LAYOUT,
  RecordKind,
  type RecordView,
} from '../../src/shared/format/record.ts'
import { decodeSealedJson } from '../../src/shared/format/sealed-json.ts'
import { stateHashOf } from '../../src/shared/format/stream-state.ts'
import type { Signer } from '../../src/shared/signing.ts'
import { readCatalogue } from '../../src/workers/streams/catalogue-copies.ts'
import { claimOf } from '../../src/workers/streams/stream-binding.ts'
import type { FlatDisk } from './flat-disk.ts'
import { forgeChecksum } from './inspected-store.ts'

// Somebody who may write every file of a data directory and knows its formats, but has not the
// private key. What they leave has checksums that fit.

/** Gives the catalogue another entry for a stream; the checkpoint that it is of stays. */
export function forgeEntry(
  disk: FlatDisk,
  stream: string,
  change: (entry: StreamEntry) => Partial<StreamEntry>,
): void {
  forgeEntries(disk, entry => (entry.name === stream ? change(entry) : {}))
}

function forgeEntries(disk: FlatDisk, change: (entry: StreamEntry) => Partial<StreamEntry>): void {
  const catalogue = readCatalogue(disk, 0)
  if (!('live' in catalogue)) throw new Error('the catalogue is damaged')
  const entries = catalogue.live.map(({ stream: entry }) => {
    const forged = { ...entry, ...change(entry) }
    const bytes = Buffer.alloc(
      streamEntryBytesMax(forged.name, forged.config, forged.producers) + 64,
    )
    return bytes.subarray(0, encodeStreamEntry(bytes, 0, forged))
  })
  const commit = encodeCommitEntry({ ...catalogue.commit, entries: entries.length })
  const { salt } = catalogue
  const forged = placeEntries([...entries, commit], { salt, position: 0 })
  for (const path of [cataloguePath(0), catalogueCopyPath(0)]) disk.put(path, forged)
}

/** Exchanges these fields of two streams in the catalogue. */
export function swapFields(
  disk: FlatDisk,
  one: string,
  other: string,
  fields: readonly (keyof StreamEntry)[],
): void {
  const entries = entriesOf(disk)
  const of = (name: string) => entries.find(entry => entry.name === name) ?? {}
  const part = (name: string) =>
    Object.fromEntries(
      Object.entries(of(name)).filter(([field]) => fields.some(it => it === field)),
    )
  forgeEntries(disk, ({ name }) => (name === one ? part(other) : name === other ? part(one) : {}))
}

/** The streams that the catalogue has. */
export function entriesOf(disk: FlatDisk): StreamEntry[] {
  const catalogue = readCatalogue(disk, 0)
  if (!('live' in catalogue)) throw new Error('the catalogue is damaged')
  return catalogue.live.map(({ stream }) => stream)
}

/** Changes the state in a state checkpoint. Its checksum is right, its signature is not. */
export function forgeState(entry: StreamEntry, change: Partial<StreamEntry>): Partial<StreamEntry> {
  const bytes = Buffer.from(entry.stateCheckpoint, 'latin1')
  const record = decodeRecord(bytes, 0)
  const body = record && decodeCheckpointBody(bytes, record)
  if (body === undefined) throw new Error('the stream was never changed')
  const stateHash = stateHashOf(claimOf({ ...entry, ...change }).state)
  encodeCheckpointBody({ ...body, stateHash }).copy(bytes, record?.bodyAt)
  forgeChecksum(bytes, 0)
  return { ...change, stateCheckpoint: bytes.toString('latin1') }
}

/** Gives each of two streams the other's name, wherever that is written. */
export function swapNames(disk: FlatDisk, one: string, other: string): void {
  const swap = (name: string) => (name === one ? other : name === other ? one : name)
  const moves = new Map<string, string>()
  forgeEntries(disk, ({ name, streamId }) => {
    moves.set(streamPath(name, streamId), streamPath(swap(name), streamId))
    return { name: swap(name) }
  })
  for (const path of disk.paths()) {
    const directory = path.slice(0, path.lastIndexOf('/'))
    const bytes = disk.content(path)
    const moved = moves.get(directory)
    if (moved === undefined) continue
    const file = path.slice(directory.length + 1)
    disk.remove(path)
    disk.put(`${moved}/${file}`, file === 'manifest.json' ? renamed(bytes, swap) : bytes)
  }
}

function renamed(manifest: Buffer, swap: (name: string) => string): Buffer {
  const body = decodeSealedJson(manifest) as Manifest
  return encodeManifest({ ...body, stream: swap(body.stream) })
}

/** Cuts the active segment at byte `at`, before record `offset`, and everything else with it. */
export function cutTail(disk: FlatDisk, stream: string, path: string, at: number): void {
  disk.change(path, bytes => bytes.subarray(0, at))
  const records = recordsOf(disk.content(path))
  const data = records.filter(({ kind }) => kind === RecordKind.Data)
  const checkpoint = records.findLast(({ kind }) => kind === RecordKind.Checkpoint)
  forgeEntry(disk, stream, entry => ({
    nextOffset: (data.at(-1)?.offset ?? entry.segmentFirstOffset - 1) + 1,
    chainHead: headOf(disk.content(path), records, entry),
    recordHash: recordHashOf(disk.content(path), records, entry),
    recordBytes: entry.recordBytes - entry.segmentBytes + at,
    segmentBytes: at,
    lastCheckpoint: checkpoint?.offset ?? 0,
  }))
}

/**
 * Changes a byte of the body of record number `index` of the active segment, and makes the chain
 * anew from there on.
 * @param signer signs the checkpoints on the way; without one they stay as they are
 */
export function rewriteHistory(
  disk: FlatDisk,
  stream: string,
  path: string,
  index: number,
  signer?: Signer,
): void {
  forgeEntry(disk, stream, entry => {
    disk.change(path, bytes => {
      const records = recordsOf(bytes).slice(index)
      const { bodyAt } = records[0] as RecordView
      bytes[bodyAt] = (bytes[bodyAt] as number) ^ 1
      forgeChain(bytes, records, entry.streamId, signer)
    })
    const bytes = disk.content(path)
    const records = recordsOf(bytes)
    const recordHash = recordHashOf(bytes, records, entry)
    return { chainHead: headOf(bytes, records, entry), recordHash }
  })
}

function forgeChain(
  bytes: Buffer,
  records: readonly RecordView[],
  streamId: string,
  signer: Signer | undefined,
): void {
  let head = records[0]?.previousHash ?? ''
  for (const { at } of records) {
    bytes.latin1Write(head, at + RECORD_LAYOUT.previousHash[0], 32)
    forgeChecksum(bytes, at)
    const record = decodeRecord(bytes, at) as RecordView
    if (record.kind === RecordKind.Checkpoint && signer) sign(bytes, record, streamId, signer)
    head = chainHashOf(streamId, bytes, record)
  }
}

/** Signs a checkpoint as it is now. */
export function sign(bytes: Buffer, record: RecordView, streamId: string, signer: Signer): void {
  const body = decodeCheckpointBody(bytes, record)
  if (body === undefined) throw new Error('it is no checkpoint')
  const signature = signer.sign(signedBytes(checkpointFields(streamId, record, body)))
  encodeCheckpointBody({ ...body, keyId: signer.keyId, signature }).copy(bytes, record.bodyAt)
  forgeChecksum(bytes, record.at)
}

export function recordsOf(bytes: Buffer): RecordView[] {
  const records: RecordView[] = []
  for (let at = 0; at < bytes.length; ) {
    const record = decodeRecord(bytes, at)
    if (record === undefined) break
    records.push(record)
    at = record.end
  }
  return records
}

function headOf(
  bytes: Buffer,
  records: readonly RecordView[],
  { streamId, chainHead }: StreamEntry,
): string {
  const last = records.at(-1)
  return last === undefined ? chainHead : chainHashOf(streamId, bytes, last)
}

function recordHashOf(bytes: Buffer, records: readonly RecordView[], entry: StreamEntry): string {
  const last = records.findLast(({ kind }) => kind === RecordKind.Data)
  return last === undefined ? entry.recordHash : chainHashOf(entry.streamId, bytes, last)
}

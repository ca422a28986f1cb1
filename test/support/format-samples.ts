import * as assert from 'uvu/assert'
import {
  BLOCK_HEADER_BYTES,
  BlockFlag,
  blockBytes,
  sealBlock,
} from '../../src/shared/format/block.ts'
import { hexToLatin1, latin1ToHex, viewOf } from '../../src/shared/format/bytes.ts'
import {
  encodeCommitEntry,
  encodeDecisionEntry,
  encodeRemovedEntry,
  NOTHING_UNWRITTEN,
  type StreamEntry,
} from '../../src/shared/format/catalogue.ts'
import type { CommitEntry } from '../../src/shared/format/commit-entry.ts'
import { chainHashOf, GENESIS_HASH } from '../../src/shared/format/chain.ts'
import {
  CHECKPOINT_RECORD_BYTES,
  type CheckpointFields,
  encodeCheckpointBody,
  signedBytes,
  StateChange,
} from '../../src/shared/format/checkpoint.ts'
import {
  FRAME_HEADER_BYTES,
  FrameFlag,
  type FrameTransaction,
  sealFrame,
} from '../../src/shared/format/frame.ts'
import { encodeIndexPage, indexEntry } from '../../src/shared/format/index-page.ts'
import { encodeJournalHeader, type JournalHeader } from '../../src/shared/format/journal-header.ts'
import { encodeManifest, type Manifest, MANIFEST_FORMAT } from '../../src/shared/format/manifest.ts'
import { appendPrefixBytes, encodeAppendPrefix } from '../../src/shared/format/operation.ts'
import { CompressionCode } from '../../src/shared/format/compression.ts'
import {
  encodeCheckpointRecord,
  encodeCompressedRecord,
  encodeRecord,
  recordBytes,
  RecordFormat,
  viewRecord,
} from '../../src/shared/format/record.ts'
import { stateBytes, stateHashOf } from '../../src/shared/format/stream-state.ts'
import { encodeSealedJson } from '../../src/shared/format/sealed-json.ts'
import { MIB, PAGE_BYTES } from '../../src/shared/limits.ts'
import type { Producer } from '../../src/shared/protocol/streams.ts'
import { publicKeyToPem, Signer } from '../../src/shared/signing.ts'
import {
  type Content,
  encodeBatch,
  encodeSessionAnswered,
  encodeSessionMessage,
} from './wire-samples.ts'
import { encodeEntry, placed } from './entry-samples.ts'
import { encodeReferenceSample } from './reference-sample.ts'
import {
  CONFIG,
  CREATED_AT,
  CREATION_HASH,
  encodeChainInput,
  encodeCreateOperation,
  encodeTrimOperation,
  STATE,
  STREAM,
  STREAM_ID,
  TRIM_BEFORE,
  TRIMMED_STATE,
} from './state-samples.ts'

// One small store, told once in every structure: a new directory, one append of two records to the
// stream `orders`, a checkpoint that was asked for, the append of a producer, which ends the
// segment, a trim with its checkpoint, a journal checkpoint; then a transaction that another shard
// decides. These bytes are the golden files and the worked examples of src/shared/format/README.md.

export const SALT = hexToLatin1('a0a1a2a3a4a5a6a7a8a9aaabacadaeaf')
export const DIRECTORY_HEADER = { format: 3, shards: 2, createdAt: CREATED_AT, revision: 0 }
export const TIMESTAMP = 1_760_000_000_250_000

export const RECORDS = [
  { format: RecordFormat.Json, headers: '{"type":"placed"}', body: '{"id":1}' },
  { format: RecordFormat.Text, headers: '', body: 'two' },
] as const

/** A body that LZ4 makes smaller, and the block by hand: no other version of a codec changes it. */
export const COMPRESSED = {
  body: 'varve '.repeat(40),
  block: Buffer.from('6f 766172766520 0600 d1 60 766172766520'.replaceAll(' ', ''), 'hex'),
} as const

const THIRD = { format: RecordFormat.Text, headers: '', body: 'three' } as const
/** What the transaction appends. */
const FOURTH = { format: RecordFormat.Text, headers: '', body: 'four' } as const

const CHECKPOINT_AT = TIMESTAMP + 10_000
export const PRODUCED_AT = TIMESTAMP + 20_000
const TRIMMED_AT = TIMESTAMP + 30_000
export const PENDING_AT = TIMESTAMP + 60_000
const DECIDED_AT = TIMESTAMP + 61_000

/** Of bytes 0 to 31. */
export const SIGNER = Signer.fromSeed(String.fromCharCode(...Array(32).keys()))
export const PRODUCER: Producer = { id: 'till-4', epoch: 1, seq: 0 }
export const TRANSACTION: FrameTransaction = { id: 0x2a_0000_0007, coordinator: 1 }

/** Chain hash after each record, and after each checkpoint among them. */
const heads: string[] = []
export const HEADS: readonly string[] = heads

function encodeOne({ format, headers, body }: Content, offset: number, timestamp: number): Buffer {
  const fields = { offset, timestamp, format, previousHash: heads.at(-1) ?? GENESIS_HASH }
  const source = Buffer.from(headers + body)
  const bytes = Buffer.alloc(recordBytes(headers.length, body.length))
  encodeRecord(bytes, viewOf(bytes), 0, fields, source, 0, headers.length, body.length)
  link(bytes)
  return bytes
}

function link(bytes: Buffer): void {
  const record = viewRecord(bytes, 0)
  assert.ok(record)
  heads.push(chainHashOf(STREAM_ID, bytes, record))
}

/** What a checkpoint says that is written now. */
function fieldsAt(
  offset: number,
  timestamp: number,
  state = STATE,
  change: StateChange = StateChange.None,
): CheckpointFields {
  const trimPoint = { offset: 0, hash: GENESIS_HASH }
  const chainHead = heads.at(-1) ?? GENESIS_HASH
  const signed = { chainHead, trimPoint, stateHash: stateHashOf(state), change }
  return { streamId: STREAM_ID, offset, recordCount: offset, timestamp, ...signed }
}

function encodeCheckpoint(fields: CheckpointFields, isLastOfSegment: boolean): Buffer {
  const { recordCount, trimPoint, stateHash, change, offset, timestamp } = fields
  const previousHash = fields.chainHead
  const signature = SIGNER.sign(signedBytes(fields))
  const { keyId } = SIGNER
  const signed = { recordCount, trimPoint, stateHash, change }
  const body = encodeCheckpointBody({ ...signed, keyId, isLastOfSegment, signature })
  const bytes = Buffer.alloc(CHECKPOINT_RECORD_BYTES)
  encodeCheckpointRecord(bytes, viewOf(bytes), 0, { offset, timestamp, previousHash }, body)
  link(bytes)
  return bytes
}

/** The next record of the stream, had it been given LZ4. */
function encodeCompressed(): Buffer {
  const { body, block } = COMPRESSED
  const fields = {
    offset: RECORDS.length,
    timestamp: TIMESTAMP,
    format: RecordFormat.Text,
    previousHash: heads.at(-1) ?? '',
  }
  const source = Buffer.from(body)
  const bytes = Buffer.alloc(recordBytes(0, block.length))
  encodeCompressedRecord(bytes, viewOf(bytes), 0, fields, source, 0, 0, source.length, {
    compression: CompressionCode.Lz4,
    bytes: block,
  })
  return bytes
}

/** An append of what was encoded last: `count` records and the checkpoints among them. */
function encodeAppend(
  records: Buffer,
  firstOffset: number,
  count: number,
  producer?: Producer,
): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(appendPrefixBytes(producer)), records])
  const fields = { firstOffset, count, chainHead: heads.at(-1) ?? '' }
  encodeAppendPrefix(bytes, 0, STREAM_ID, fields, records.length, producer)
  return bytes
}

export function encodeFrame(
  payload: Buffer,
  flags: FrameFlag,
  timestamp = TIMESTAMP,
  transaction?: FrameTransaction,
): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(FRAME_HEADER_BYTES), payload])
  sealFrame(bytes, 0, flags, timestamp, payload.length, transaction)
  return bytes
}

function encodeBlock(
  body: Buffer,
  fields: { flags: number; number: number; lsn: number; previousHash: string },
): { bytes: Buffer; hash: string } {
  const bytes = Buffer.alloc(blockBytes(body.length))
  body.copy(bytes, BLOCK_HEADER_BYTES)
  const { hash } = sealBlock(bytes, {
    ...fields,
    epoch: 1,
    bodyLength: body.length,
    durableThrough: fields.number - 1,
    salt: SALT,
  })
  return { bytes, hash }
}

export const JOURNAL_HEADER: JournalHeader = {
  shard: 0,
  epoch: 1,
  number: 1,
  firstLsn: PAGE_BYTES,
  capacity: 16 * MIB - PAGE_BYTES,
  salt: SALT,
}

const records = RECORDS.map((content, offset) => encodeOne(content, offset, TIMESTAMP))
const createOperation = encodeCreateOperation()
const appendOperation = encodeAppend(Buffer.concat(records), 0, RECORDS.length)
const compressed = encodeCompressed()
/** The checkpoint that was asked for. */
export const CHECKPOINT = fieldsAt(2, CHECKPOINT_AT)
const checkpoint = encodeCheckpoint(CHECKPOINT, false)
const checkpointAppend = encodeAppend(checkpoint, 2, 0)
const third = encodeOne(THIRD, 2, PRODUCED_AT)
/** The one that ends the segment. */
const last = encodeCheckpoint(fieldsAt(3, PRODUCED_AT), true)
const producerAppend = encodeAppend(Buffer.concat([third, last]), 2, 1, PRODUCER)
const segment = Buffer.concat([...records, checkpoint, third, last])
const segmentHead = heads.at(-1) ?? ''
const trimOperation = encodeTrimOperation()
/** The checkpoint that signs the trim and follows it in its frame. */
const trimCheckpoint = encodeCheckpoint(
  fieldsAt(3, TRIMMED_AT, TRIMMED_STATE, StateChange.Trimmed),
  false,
)
const trimSigned = Buffer.concat([trimOperation, encodeAppend(trimCheckpoint, 3, 0)])
const storedHead = heads.at(-1) ?? ''

const frame = encodeFrame(Buffer.concat([createOperation, appendOperation]), FrameFlag.Committed)
const first = encodeBlock(Buffer.alloc(0), {
  flags: BlockFlag.EpochOpen,
  number: 1,
  lsn: PAGE_BYTES,
  previousHash: GENESIS_HASH,
})
const second = encodeBlock(frame, {
  flags: BlockFlag.Data,
  number: 2,
  lsn: 2 * PAGE_BYTES,
  previousHash: first.hash,
})
const laterFrames = [
  encodeFrame(checkpointAppend, FrameFlag.Committed, CHECKPOINT_AT),
  encodeFrame(producerAppend, FrameFlag.Committed, PRODUCED_AT),
  encodeFrame(trimSigned, FrameFlag.Committed, TRIMMED_AT),
]
const thirdBlock = encodeBlock(Buffer.concat(laterFrames), {
  flags: BlockFlag.Data,
  number: 3,
  lsn: 3 * PAGE_BYTES,
  previousHash: second.hash,
})

const fourth = encodeOne(FOURTH, 3, PENDING_AT)
const pending = encodeAppend(fourth, 3, 1)
const outcome = { ...TRANSACTION, coordinator: 0 }
const NOTHING = Buffer.alloc(0)
const ZEROS = latin1ToHex(GENESIS_HASH)
const recordHash = HEADS[3] ?? '' // a checkpoint follows it

const RECORDS_BYTES = Buffer.concat(records).length
/** Of the segment's index: where its records begin, the third one behind a checkpoint. */
export const INDEX_ENTRIES: readonly number[] = [
  indexEntry(0, false),
  indexEntry(101, false),
  indexEntry(RECORDS_BYTES + CHECKPOINT_RECORD_BYTES, true),
]

const PRODUCED = { firstOffset: 2, nextOffset: 3, timestamp: PRODUCED_AT }
const PRODUCER_STATE = {
  id: PRODUCER.id,
  epoch: PRODUCER.epoch,
  lastSeq: PRODUCER.seq,
  results: [{ ...PRODUCED, recordHash, chainHead: segmentHead }],
}

export const STREAM_ENTRY: StreamEntry = {
  name: STREAM,
  config: CONFIG,
  streamId: STREAM_ID,
  chainHead: storedHead,
  recordHash,
  createdAt: CREATED_AT,
  lastTimestamp: TRIMMED_AT,
  firstOffset: TRIM_BEFORE,
  nextOffset: 3,
  recordBytes: segment.length + trimCheckpoint.length,
  segment: 1,
  segmentFirstOffset: 3,
  segmentBytes: trimCheckpoint.length,
  closed: false,
  lastCheckpoint: 3,
  segmentSince: 0,
  trimPoint: { offset: 0, hash: GENESIS_HASH, recordHash: GENESIS_HASH },
  firstSegment: 0,
  producers: [PRODUCER_STATE],
  unwritten: NOTHING_UNWRITTEN,
  creationHash: CREATION_HASH,
  stateCheckpoint: trimCheckpoint.toString('latin1'),
}
const streamEntry = encodeEntry(STREAM_ENTRY)
export const COMMIT: CommitEntry = {
  checkpointLsn: 4 * PAGE_BYTES,
  journalFile: 1,
  blockNumber: 3,
  blockHash: thirdBlock.hash,
  timestamp: TIMESTAMP + 50_000,
  clockMicros: TIMESTAMP + 49_000,
  entries: 1,
  shard: 1,
}

export const MANIFEST: Manifest = {
  format: MANIFEST_FORMAT,
  stream: STREAM,
  streamId: latin1ToHex(STREAM_ID),
  creationHash: latin1ToHex(CREATION_HASH),
  createdAt: CREATED_AT,
  closed: false,
  config: JSON.parse(CONFIG),
  firstOffset: TRIM_BEFORE,
  stateCheckpoint: trimCheckpoint.toString('hex'),
  trimPoint: { offset: 0, chainHead: ZEROS, recordHash: ZEROS },
  sealed: [
    {
      number: 0,
      firstOffset: 0,
      nextOffset: 3,
      bytes: segment.length,
      chainHead: latin1ToHex(segmentHead),
      recordHash: latin1ToHex(recordHash),
      lastTimestamp: PRODUCED_AT,
    },
  ],
  active: { number: 1, firstOffset: 3 },
}

/** The bytes of every structure, by the name of its golden file. */
export const SAMPLES = {
  record: records[0] ?? Buffer.alloc(0),
  'compressed-record': compressed,
  'checkpoint-record': checkpoint,
  'checkpoint-signed': signedBytes(CHECKPOINT),
  'stream-state': stateBytes(STATE),
  'public-key': Buffer.from(publicKeyToPem(SIGNER.publicKey)),
  segment: segment,
  'chain-input': encodeChainInput(RECORDS[0], TIMESTAMP),
  batch: encodeBatch(RECORDS),
  'create-operation': createOperation,
  'append-operation': appendOperation,
  'producer-append': producerAppend,
  'checkpoint-append': checkpointAppend,
  'trim-operation': trimOperation,
  'reference-operation': encodeReferenceSample(STREAM_ID, HEADS[1] ?? ''),
  frame: frame,
  'pending-frame': encodeFrame(pending, FrameFlag.Pending, PENDING_AT, TRANSACTION),
  'committed-frame': encodeFrame(NOTHING, FrameFlag.Committed, DECIDED_AT, outcome),
  'first-block': first.bytes,
  block: second.bytes,
  'journal-header': encodeJournalHeader(JOURNAL_HEADER),
  'index-page': encodeIndexPage(0, INDEX_ENTRIES),
  'stream-entry': placed(streamEntry, 0),
  'removed-entry': placed(encodeRemovedEntry(STREAM_ID), streamEntry.length),
  'decision-entry': placed(encodeDecisionEntry(TRANSACTION.id), streamEntry.length),
  'commit-entry': placed(encodeCommitEntry(COMMIT), streamEntry.length),
  manifest: encodeManifest(MANIFEST),
  'session-request': encodeSessionMessage(STREAM, encodeBatch(RECORDS)),
  'session-answer': encodeSessionAnswered(RECORDS.length),
  'directory-header': encodeSealedJson(DIRECTORY_HEADER),
} as const satisfies Readonly<Record<string, Buffer>>

import * as assert from 'uvu/assert'
import { BATCH_ITEM_HEADER_BYTES, encodeBatchItemHeader } from '../../src/shared/format/batch.ts'
import {
  BLOCK_HEADER_BYTES,
  BlockFlag,
  blockBytes,
  sealBlock,
} from '../../src/shared/format/block.ts'
import { hexToLatin1, latin1ToHex, viewOf } from '../../src/shared/format/bytes.ts'
import {
  type CommitEntry,
  encodeCommitEntry,
  encodeRemovedEntry,
  encodeStreamEntry,
  type StreamEntry,
  streamEntryBytesMax,
} from '../../src/shared/format/catalogue.ts'
import {
  CHAIN_DOMAIN,
  CHAIN_PREFIX_BYTES,
  chainHashOf,
  GENESIS_HASH,
} from '../../src/shared/format/chain.ts'
import { FRAME_HEADER_BYTES, FrameFlag, sealFrame } from '../../src/shared/format/frame.ts'
import { encodeIndexPage } from '../../src/shared/format/index-page.ts'
import { encodeJournalHeader, type JournalHeader } from '../../src/shared/format/journal-header.ts'
import { encodeManifest, type Manifest, MANIFEST_FORMAT } from '../../src/shared/format/manifest.ts'
import {
  APPEND_PREFIX_BYTES,
  createBytes,
  encodeAppendPrefix,
  encodeChange,
  encodeCreate,
  type OperationType,
} from '../../src/shared/format/operation.ts'
import {
  encodeRecord,
  recordBytes,
  RecordFormat,
  viewRecord,
} from '../../src/shared/format/record.ts'
import { encodeSealedJson } from '../../src/shared/format/sealed-json.ts'
import { MIB, PAGE_BYTES } from '../../src/shared/limits.ts'

// One small store, told once in every structure: a new directory, one append of two records to the
// stream `orders`, a journal checkpoint, a roll. These bytes are the golden files and the worked
// examples of src/shared/format/README.md.

export const STREAM = 'orders'
export const STREAM_ID = hexToLatin1('3d1c7a52e09b4f6688a1d2c3b4f5e607')
export const SALT = hexToLatin1('a0a1a2a3a4a5a6a7a8a9aaabacadaeaf')
export const CREATED_AT = 1_760_000_000_000_000
export const TIMESTAMP = 1_760_000_000_250_000
export const CONFIG = '{"durability":"group","maxSegmentBytes":67108864}'

export const RECORDS = [
  { format: RecordFormat.Json, headers: '{"type":"placed"}', body: '{"id":1}' },
  { format: RecordFormat.Text, headers: '', body: 'two' },
] as const

/** Chain hash after each record. */
const heads: string[] = []
export const HEADS: readonly string[] = heads

function encodeBatch(): Buffer {
  const items = RECORDS.map(({ format, headers, body }) => {
    const header = Buffer.alloc(BATCH_ITEM_HEADER_BYTES)
    encodeBatchItemHeader(header, 0, format, headers.length, body.length)
    return Buffer.concat([header, Buffer.from(headers + body)])
  })
  return Buffer.concat(items)
}

function encodeRecords(): Buffer[] {
  return RECORDS.map(({ format, headers, body }, offset) => {
    const fields = {
      offset,
      timestamp: TIMESTAMP,
      format,
      previousHash: heads.at(-1) ?? GENESIS_HASH,
    }
    const source = Buffer.from(headers + body)
    const bytes = Buffer.alloc(recordBytes(headers.length, body.length))
    encodeRecord(bytes, viewOf(bytes), 0, fields, source, 0, headers.length, body.length)
    const record = viewRecord(bytes, 0)
    assert.ok(record)
    heads.push(chainHashOf(STREAM_ID, bytes, record))
    return bytes
  })
}

/** What is hashed for the first record, put together by hand: the code has it in no one piece. */
function encodeChainInput(): Buffer {
  const { format, headers, body } = RECORDS[0]
  const bytes = Buffer.alloc(CHAIN_PREFIX_BYTES + headers.length + body.length)
  bytes.latin1Write(CHAIN_DOMAIN + STREAM_ID + GENESIS_HASH)
  bytes.writeBigUInt64LE(0n, 64)
  bytes.writeBigUInt64LE(BigInt(TIMESTAMP), 72)
  bytes.writeUInt8(0, 80)
  bytes.writeUInt8(format, 81)
  bytes.writeUInt32LE(headers.length, 82)
  bytes.writeUInt32LE(body.length, 86)
  bytes.write(headers + body, CHAIN_PREFIX_BYTES)
  return bytes
}

function encodeCreateOperation(): Buffer {
  const bytes = Buffer.alloc(createBytes(STREAM, CONFIG))
  encodeCreate(bytes, 0, STREAM_ID, { createdAt: CREATED_AT, name: STREAM, config: CONFIG })
  return bytes
}

function encodeAppendOperation(records: Buffer): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(APPEND_PREFIX_BYTES), records])
  const fields = { firstOffset: 0, count: RECORDS.length, chainHead: heads.at(-1) ?? '' }
  encodeAppendPrefix(bytes, 0, STREAM_ID, fields, records.length)
  return bytes
}

export function encodeChangeOperation(
  type: typeof OperationType.Configure | typeof OperationType.Close | typeof OperationType.Delete,
  config = '',
): Buffer {
  const bytes = Buffer.alloc(256)
  return bytes.subarray(0, encodeChange(bytes, 0, type, STREAM_ID, config))
}

export function encodeFrame(payload: Buffer, flags: number): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(FRAME_HEADER_BYTES), payload])
  sealFrame(bytes, 0, flags, TIMESTAMP, payload.length)
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

function encodeEntry(entry: StreamEntry): Buffer {
  const bytes = Buffer.alloc(streamEntryBytesMax(entry.name, entry.config))
  return bytes.subarray(0, encodeStreamEntry(bytes, 0, entry))
}

export const JOURNAL_HEADER: JournalHeader = {
  shard: 0,
  epoch: 1,
  number: 1,
  firstLsn: PAGE_BYTES,
  capacity: 16 * MIB - PAGE_BYTES,
  salt: SALT,
}

const records = encodeRecords()
const segment = Buffer.concat(records)
const createOperation = encodeCreateOperation()
const appendOperation = encodeAppendOperation(segment)
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

/** Positions of the records in the segment. */
export const POSITIONS: readonly number[] = [0, records[0]?.length ?? 0]

export const STREAM_ENTRY: StreamEntry = {
  name: STREAM,
  config: CONFIG,
  streamId: STREAM_ID,
  chainHead: heads.at(-1) ?? '',
  createdAt: CREATED_AT,
  lastTimestamp: TIMESTAMP,
  firstOffset: 0,
  nextOffset: RECORDS.length,
  recordBytes: segment.length,
  segment: 0,
  segmentFirstOffset: 0,
  segmentBytes: segment.length,
  closed: false,
}

export const COMMIT: CommitEntry = {
  checkpointLsn: 3 * PAGE_BYTES,
  journalFile: 1,
  blockNumber: 2,
  blockHash: second.hash,
  timestamp: TIMESTAMP + 50_000,
  entries: 1,
}

export const MANIFEST: Manifest = {
  format: MANIFEST_FORMAT,
  stream: STREAM,
  streamId: latin1ToHex(STREAM_ID),
  createdAt: CREATED_AT,
  closed: false,
  config: JSON.parse(CONFIG),
  sealed: [
    {
      number: 0,
      firstOffset: 0,
      nextOffset: RECORDS.length,
      bytes: segment.length,
      chainHead: latin1ToHex(heads.at(-1) ?? ''),
    },
  ],
  active: { number: 1, firstOffset: RECORDS.length },
}

/** The bytes of every structure, by the name of its golden file. */
export const SAMPLES = {
  record: records[0] ?? Buffer.alloc(0),
  segment: segment,
  'chain-input': encodeChainInput(),
  batch: encodeBatch(),
  'create-operation': createOperation,
  'append-operation': appendOperation,
  frame: frame,
  'first-block': first.bytes,
  block: second.bytes,
  'journal-header': encodeJournalHeader(JOURNAL_HEADER),
  'index-page': encodeIndexPage(0, POSITIONS),
  'stream-entry': encodeEntry(STREAM_ENTRY),
  'removed-entry': encodeRemovedEntry(STREAM_ID),
  'commit-entry': encodeCommitEntry(COMMIT),
  manifest: encodeManifest(MANIFEST),
  'directory-header': encodeSealedJson({ format: 1, shards: 1, createdAt: CREATED_AT }),
} as const satisfies Readonly<Record<string, Buffer>>

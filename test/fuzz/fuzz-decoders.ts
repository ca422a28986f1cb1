import { crc32 } from 'node:zlib'
import * as fc from 'fast-check'
import { StoreError } from '../../src/shared/errors.ts'
import { decodeBatchItem } from '../../src/shared/format/batch.ts'
import { blockBodyChecks, decodeBlockHeader } from '../../src/shared/format/block.ts'
import { decodeEntry } from '../../src/shared/format/catalogue.ts'
import { decodeCheckpointBody } from '../../src/shared/format/checkpoint.ts'
import { expandRecord } from '../../src/shared/format/expand.ts'
import { decodeFrame } from '../../src/shared/format/frame.ts'
import { decodeIndexPage } from '../../src/shared/format/index-page.ts'
import { decodeJournalHeader } from '../../src/shared/format/journal-header.ts'
import { decodeManifest } from '../../src/shared/format/manifest.ts'
import { decodeOperation } from '../../src/shared/format/operation.ts'
import { decodeProducerStates } from '../../src/shared/format/producer-state.ts'
import { decodeProducer } from '../../src/shared/format/producer.ts'
import { claimedRecordBytes, decodeRecord } from '../../src/shared/format/record.ts'
import { decodeReference } from '../../src/shared/format/reference.ts'
import { decodeSealedJson } from '../../src/shared/format/sealed-json.ts'
import { decodeSessionRequest, hasSessionId } from '../../src/shared/format/session-request.ts'
import { publicKeyFromPem, Signer } from '../../src/shared/signing.ts'
import { SAMPLES } from '../support/format-samples.ts'
import { forgeChecksum } from '../support/inspected-store.ts'
import type { FuzzOptions } from './fuzz-http.ts'
import { FuzzReport, type FuzzRow } from './fuzz-report.ts'

// Every structure, on disk and on the wire, with bytes changed, cut off and added, and lengths that
// promise gigabytes. A decoder says undefined or throws a StoreError; nothing else, and with little
// memory.

const ALLOCATED_BYTES_MAX = 1024 * 1024
const SIZES = [0, 1, 0x7f, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff]

/** Reads all that it can, as its callers do once the checksum around it held. */
type Decoder = (bytes: Buffer) => unknown

function readRecord(bytes: Buffer): void {
  const record = decodeRecord(bytes, 0)
  if (record === undefined) return
  expandRecord({ bytes, record })
  decodeCheckpointBody(bytes, record)
}

function readBlock(bytes: Buffer): unknown {
  const header = decodeBlockHeader(bytes, 0)
  return header && blockBodyChecks(bytes, 0, header)
}

function readProducer(bytes: Buffer): void {
  decodeProducer(bytes, 0, bytes.length)
  decodeProducerStates(bytes, 0, bytes.length)
}

const operation: Decoder = bytes => decodeOperation(bytes, 0, bytes.length)
const frame: Decoder = bytes => decodeFrame(bytes, 0, bytes.length)
const entry: Decoder = bytes => decodeEntry(bytes, 0)
const sealed: Decoder = bytes => [decodeSealedJson(bytes), decodeManifest(bytes)]

/** Those of `SAMPLES` that something decodes. */
const DECODERS: Partial<Record<keyof typeof SAMPLES, Decoder>> = {
  record: readRecord,
  'compressed-record': readRecord,
  'checkpoint-record': readRecord,
  segment: readRecord,
  'public-key': bytes => [publicKeyFromPem(bytes.toString()), Signer.fromPem(bytes.toString())],
  batch: bytes => decodeBatchItem(bytes, 0, bytes.length),
  'create-operation': operation,
  'append-operation': operation,
  'producer-append': operation,
  'checkpoint-append': operation,
  'trim-operation': operation,
  'reference-operation': bytes => [operation(bytes), decodeReference(bytes, 24, bytes.length)],
  frame,
  'pending-frame': frame,
  'committed-frame': frame,
  'first-block': readBlock,
  block: readBlock,
  'journal-header': decodeJournalHeader,
  'index-page': bytes => decodeIndexPage(bytes, 0),
  'stream-entry': bytes => [entry(bytes), readProducer(bytes)],
  'removed-entry': entry,
  'decision-entry': entry,
  'commit-entry': entry,
  manifest: sealed,
  'directory-header': sealed,
  'session-request': bytes => hasSessionId(bytes) && decodeSessionRequest(bytes),
}

/** Where a structure has the checksum of all around it. */
const CHECKSUMS: Partial<Record<keyof typeof SAMPLES, number>> = {
  frame: 28,
  'pending-frame': 28,
  'committed-frame': 28,
  'stream-entry': 12,
  'removed-entry': 12,
  'decision-entry': 12,
  'commit-entry': 12,
}

const edit = fc.record({
  at: fc.nat(),
  kind: fc.constantFrom('flip', 'length', 'cut', 'drop', 'add'),
  bit: fc.nat(7),
  size: fc.constantFrom(...SIZES),
})
type Edit = typeof edit extends fc.Arbitrary<infer Value> ? Value : never
const edits = fc.array(edit, { minLength: 1, maxLength: 3 })
const bytes = fc.uint8Array({ maxLength: 200 })

const input = fc.oneof(
  { weight: 9, arbitrary: fc.tuple(fc.constant(undefined), edits, fc.boolean()) },
  fc.tuple(bytes, edits, fc.constant(false)),
)

/** Decodes `requests` broken inputs, in turn of every structure. */
export function fuzzDecoders({ requests, seed }: FuzzOptions): FuzzRow {
  const report = new FuzzReport('mutated structures')
  const names = Object.keys(DECODERS) as (keyof typeof DECODERS)[]
  fc.sample(input, { numRuns: requests, seed }).forEach(([noise, changes, isForged], index) => {
    const name = names[index % names.length] as keyof typeof DECODERS
    const broken = changes.reduce(change, Buffer.from(noise ?? SAMPLES[name]))
    if (isForged) forge(name, broken)
    const fault = faultOf(DECODERS[name] as Decoder, broken)
    if (fault === undefined) report.survived()
    else report.failed(`${name}: ${fault}`, broken)
  })
  return report.row()
}

/** Makes the checksum fit, so that what is behind it is decoded. */
function forge(name: keyof typeof SAMPLES, broken: Buffer): void {
  const at = CHECKSUMS[name]
  if (at !== undefined && broken.length >= at + 4) {
    broken.writeUInt32LE(crc32(broken.subarray(at + 4), crc32(broken.subarray(0, at))), at)
  }
  const length = name.endsWith('record') ? claimedRecordBytes(broken, 0) : 0
  if (length > 0 && length <= broken.length) forgeChecksum(broken, 0)
}

function change(source: Buffer, { at, kind, bit, size }: Edit): Buffer {
  const place = source.length === 0 ? 0 : at % source.length
  const copy = Buffer.from(source)
  switch (kind) {
    case 'flip':
      if (copy.length > 0) copy[place] = (copy[place] as number) ^ (1 << bit)
      return copy
    case 'length':
      if (place + 4 <= copy.length) copy.writeUInt32LE(size, place)
      return copy
    case 'cut':
      return copy.subarray(0, place)
    case 'drop':
      return Buffer.concat([copy.subarray(0, place), copy.subarray(place + 1 + bit)])
    case 'add':
      return Buffer.concat([
        copy.subarray(0, place),
        Buffer.alloc(1 + bit, size),
        copy.subarray(place),
      ])
  }
}

function faultOf(decode: Decoder, broken: Buffer): string | undefined {
  const before = process.memoryUsage().arrayBuffers
  try {
    decode(broken)
  } catch (error) {
    if (!(error instanceof StoreError)) return String(error)
  }
  const allocated = process.memoryUsage().arrayBuffers - before
  return allocated > ALLOCATED_BYTES_MAX ? `${allocated} bytes were allocated` : undefined
}

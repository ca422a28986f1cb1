import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  BLOCK_HEADER_BYTES,
  BlockFlag,
  type BlockHeader,
  blockBytes,
  decodeBlockHeader,
  sealBlock,
} from '../../../src/shared/format/block.ts'
import {
  decodeFrame,
  type Frame,
  FRAME_HEADER_BYTES,
  FrameFlag,
  sealFrame,
} from '../../../src/shared/format/frame.ts'
import { KIB, PAGE_BYTES } from '../../../src/shared/limits.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import {
  SMALL_OPTIONS,
  smallStore,
  StoreMaker,
  verifyStore,
} from '../../support/inspected-store.ts'

/** All blocks of a test fit one file. */
const OPTIONS = { ...SMALL_OPTIONS, journalFileBytes: 96 * KIB }

type BlockPlace = { readonly file: string; readonly at: number; readonly end: number }

/** Records of one stream that only the journal has, each in a block, an idle seal behind each. */
function journaledStore(blocks = 4): { disk: FlatDisk; blocks: BlockPlace[] } {
  const maker = new StoreMaker(OPTIONS)
  for (let block = 0; block < blocks; block += 1) {
    maker.append('orders', 1)
    maker.journal()
  }
  const { disk } = maker.copy()
  return { disk, blocks: blocksIn(disk) }
}

/** Blocks of data, in order. */
function blocksIn(disk: FlatDisk): BlockPlace[] {
  const found: BlockPlace[] = []
  for (const file of disk.paths().filter(path => path.endsWith('.wal'))) {
    const bytes = disk.content(file)
    for (let at = PAGE_BYTES; at < bytes.length; at += PAGE_BYTES) {
      const header = decodeBlockHeader(bytes, at)
      if (header === undefined || header.bodyLength === 0) continue
      found.push({ file, at, end: at + blockBytes(header.bodyLength) })
    }
  }
  return found
}

/** The last block reached the disk with its header and little more, and nothing after it. */
function tornStore(): { disk: FlatDisk; last: BlockPlace } {
  const maker = new StoreMaker(OPTIONS)
  maker.append('orders', 2)
  maker.journal()
  const before = maker.copy().disk
  maker.append('orders', 1)
  maker.journal()
  const { disk } = maker.copy()
  const last = blocksIn(disk).at(-1) as BlockPlace
  const start = disk.content(last.file).subarray(last.at, last.at + 140)
  disk.put(last.file, before.content(last.file))
  disk.change(last.file, bytes => {
    start.copy(bytes, last.at)
  })
  return { disk, last }
}

function flip(disk: FlatDisk, { file, at }: BlockPlace, inBlock: number): void {
  disk.change(file, bytes => {
    bytes[at + inBlock] = (bytes[at + inBlock] as number) ^ 1
  })
}

const journal = suite('workers/inspection/journal-check')

journal('records that only the journal has are counted', () => {
  const { report, findings } = verifyStore(journaledStore().disk)
  assert.equal(findings, [])
  assert.is(report?.records, 4)
  assert.is(report?.streams, 1)
})

journal('a damaged block is named, and so are the records that went with it', () => {
  const { disk, blocks } = journaledStore()
  const [, second, third] = blocks as [BlockPlace, BlockPlace, BlockPlace]
  flip(disk, second, 200)
  const [block, records, ...others] = verifyStore(disk).damages
  assert.equal(others, [])
  assert.is(block?.file, second.file)
  assert.equal(block?.bytes, [second.at, second.end])
  assert.is(records?.file, third.file)
  assert.equal(records?.offsets, [1, 2])
})

journal('two damaged blocks are both named', () => {
  const { disk, blocks } = journaledStore()
  const [, second, , fourth] = blocks as [BlockPlace, BlockPlace, BlockPlace, BlockPlace]
  flip(disk, second, 8)
  flip(disk, fourth, 300)
  const starts = verifyStore(disk).damages.map(({ file, bytes }) => `${file} ${bytes?.[0]}`)
  for (const { file, at } of [second, fourth]) assert.ok(starts.includes(`${file} ${at}`))
})

journal('an unfinished last block is a note', () => {
  const { disk, last } = tornStore()
  const { damages, notes } = verifyStore(disk)
  assert.equal(damages, [])
  assert.equal(
    notes.map(({ file, bytes }) => [file, bytes?.[0]]),
    [[last.file, last.at]],
  )
})

journal('a journal file without a sound header is named', () => {
  const { disk, blocks } = journaledStore()
  const { file } = blocks[0] as BlockPlace
  flip(disk, { file, at: 0, end: 0 }, 20)
  const { damages } = verifyStore(disk)
  assert.equal(
    damages.map(finding => [finding.file, finding.bytes]),
    [[file, [0, PAGE_BYTES]]],
  )
})

journal('a missing journal file is named', () => {
  const { disk } = smallStore()
  const file = disk.paths().find(path => path.endsWith('.wal')) as string
  disk.remove(file)
  assert.equal(
    verifyStore(disk).damages.map(finding => [finding.file, finding.reason]),
    [[file, 'the journal file is missing']],
  )
})

journal('files of a stream that the journal deletes may be gone', () => {
  const maker = new StoreMaker(OPTIONS)
  maker.append('orders', 2)
  maker.store()
  maker.delete('orders')
  maker.journal()
  const { disk } = maker.copy()
  for (const path of disk.paths()) if (path.includes('/orders-')) disk.remove(path)
  assert.equal(verifyStore(disk).damages, [])
})

/** Seals the blocks from `at` on with other bodies, each linked to the one before. */
function reseal(disk: FlatDisk, { file, at }: BlockPlace, bodies: readonly Buffer[]): void {
  disk.change(file, bytes => {
    let position = at
    let previousHash: string | undefined
    for (const body of bodies) {
      const header = decodeBlockHeader(bytes, position) as BlockHeader
      const block = bytes.subarray(position, position + blockBytes(header.bodyLength))
      body.copy(block, BLOCK_HEADER_BYTES)
      const flags = body.length > 0 ? BlockFlag.Data : header.flags
      const fields = { ...header, flags, bodyLength: body.length }
      const linked = previousHash === undefined ? fields : { ...fields, previousHash }
      const sealed = sealBlock(block, linked)
      previousHash = sealed.hash
      position += sealed.bytes
    }
  })
}

journal('a stream that is created under the name of another is named', () => {
  const { disk, blocks } = journaledStore(1)
  const [only] = blocks as [BlockPlace]
  const frame = Buffer.from(
    disk.content(only.file).subarray(only.at + BLOCK_HEADER_BYTES, only.end),
  )
  const { timestamp, end } = decodeFrame(frame, 0, frame.length) as Frame
  frame.write('others', frame.indexOf('orders'))
  sealFrame(frame, 0, FrameFlag.Committed, timestamp, end - FRAME_HEADER_BYTES)
  reseal(disk, only, [frame.subarray(0, end), Buffer.alloc(0)])
  const { damages } = verifyStore(disk)
  const reason = 'the id of the created stream was made for another name or another state'
  assert.equal(
    damages.map(finding => [finding.stream, finding.reason]),
    [['others', reason]],
  )
})

/** The last of three appends belongs to a transaction, which is decided by what follows it. */
function pendingStore(decision: FrameFlag | undefined): FlatDisk {
  const { disk, blocks } = journaledStore(3)
  const last = blocks[2] as BlockPlace
  const bytes = disk.content(last.file)
  const frame = Buffer.from(bytes.subarray(last.at + BLOCK_HEADER_BYTES, last.end))
  const { timestamp, end } = decodeFrame(frame, 0, frame.length) as Frame
  const transaction = { id: 9, coordinator: 0 }
  sealFrame(frame, 0, FrameFlag.Pending, timestamp, end - FRAME_HEADER_BYTES, transaction)
  const decided = Buffer.alloc(decision === undefined ? 0 : FRAME_HEADER_BYTES)
  if (decision !== undefined) sealFrame(decided, 0, decision, timestamp, 0, transaction)
  reseal(disk, last, [frame.subarray(0, end), decided])
  return disk
}

journal('what is pending counts once it is committed', () => {
  const { report, findings } = verifyStore(pendingStore(FrameFlag.Committed))
  assert.equal(findings, [])
  assert.is(report?.records, 3)
})

journal('what was aborted does not count', () => {
  const { report, findings } = verifyStore(pendingStore(FrameFlag.Aborted))
  assert.equal(findings, [])
  assert.is(report?.records, 2)
})

journal('a transaction without its decision is a note', () => {
  const { report, findings } = verifyStore(pendingStore(undefined))
  assert.is(report?.records, 2)
  assert.equal(
    findings.map(({ severity, reason }) => [severity, reason]),
    [['note', 'a transaction without its decision; the next start asks shard 0']],
  )
})

journal.run()

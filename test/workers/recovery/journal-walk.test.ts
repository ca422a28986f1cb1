import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  BLOCK_HEADER_BYTES,
  BlockFlag,
  type BlockHeader,
  sealBlock,
} from '../../../src/shared/format/block.ts'
import { GENESIS_HASH } from '../../../src/shared/format/chain.ts'
import type { JournalHeader } from '../../../src/shared/format/journal-header.ts'
import { journalPath, shardPath } from '../../../src/shared/format/paths.ts'
import { PAGE_BYTES } from '../../../src/shared/limits.ts'
import { CopyFaults } from '../../../src/workers/disk/copy-faults.ts'
import { makeDirectories } from '../../../src/workers/disk/files.ts'
import { prepareJournalFile } from '../../../src/workers/journal/journal-files.ts'
import { JournalWalk } from '../../../src/workers/recovery/journal-walk.ts'
import { FlatDisk } from '../../support/flat-disk.ts'

const FILE: JournalHeader = {
  shard: 0,
  epoch: 3,
  number: 0,
  firstLsn: 0,
  capacity: 8 * PAGE_BYTES,
  salt: 's'.repeat(16),
}
const START = { lsn: 0, journalFile: 0, blockNumber: 0, blockHash: GENESIS_HASH }

const walks = suite('workers/recovery/journal-walk')

walks('blocks that follow one another are walked to the last', () => {
  const { disk } = written([{}, {}, {}])
  assert.is(walk(disk).blocks, 3)
})

// biome-ignore format: a table of what is wrong with the second block
const STRANGERS: readonly (readonly [what: string, header: Partial<BlockHeader>])[] = [
  ['another salt',              { salt: 't'.repeat(16) }],
  ['another epoch',             { epoch: FILE.epoch - 1 }],
  ['a number that is not next', { number: 3 }],
  ['another block before it',   { previousHash: 'h'.repeat(32) }],
  ['the LSN of another place',  { lsn: 5 * PAGE_BYTES }],
]

for (const [what, header] of STRANGERS) {
  walks(`a block with ${what} does not follow`, () => {
    const { disk } = written([{}, header])
    assert.is(walk(disk).blocks, 1)
  })
}

walks('a block whose body does not check does not follow, and is cut while nothing vouches', () => {
  const { disk, positions } = written([{}, {}])
  disk.change(journalPath(0, 0), bytes => {
    const at = (positions[1] ?? 0) + BLOCK_HEADER_BYTES
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
  })
  assert.equal(walk(disk), { blocks: 1, decision: 'cut' })
})

walks('a block that a later one says was durable is never cut', () => {
  const { disk, positions } = written([{}, {}, { durableThrough: 2 }])
  disk.change(journalPath(0, 0), bytes => {
    bytes.fill(0, positions[1], (positions[1] ?? 0) + PAGE_BYTES)
  })
  assert.equal(walk(disk), { blocks: 1, decision: 'refuse' })
})

walks(
  'a later block vouches by being there: it was written when the one before was durable',
  () => {
    const { disk, positions } = written([{}, {}, { durableThrough: 0 }])
    disk.change(journalPath(0, 0), bytes => {
      bytes.fill(0, positions[1], (positions[1] ?? 0) + PAGE_BYTES)
    })
    assert.equal(walk(disk), { blocks: 1, decision: 'refuse' })
  },
)

walks('what a sound block says of itself vouches for it, though it does not follow', () => {
  const { disk } = written([{ durableThrough: 2 }])
  assert.equal(walk(disk), { blocks: 1, decision: 'refuse' })
})

/** A journal of one file with a block for each of the headers, each a page long. */
function written(headers: readonly Partial<BlockHeader>[]) {
  const disk = new FlatDisk()
  makeDirectories(disk, shardPath(0))
  prepareJournalFile(disk, FILE, new CopyFaults())
  const positions: number[] = []
  let previousHash = GENESIS_HASH
  disk.change(journalPath(0, 0), bytes => {
    for (const [at, header] of headers.entries()) {
      const position = (at + 1) * PAGE_BYTES
      positions.push(position)
      const block = bytes.subarray(position, position + PAGE_BYTES)
      block.fill('frames', BLOCK_HEADER_BYTES, BLOCK_HEADER_BYTES + 60)
      const sealed = sealBlock(block, {
        flags: BlockFlag.Data,
        epoch: FILE.epoch,
        bodyLength: 60,
        number: at + 1,
        lsn: at * PAGE_BYTES,
        durableThrough: at,
        salt: FILE.salt,
        previousHash,
        ...header,
      })
      previousHash = sealed.hash
    }
  })
  return { disk, positions }
}

function walk(disk: FlatDisk): { blocks: number; decision: string } {
  const journal = new JournalWalk(disk, 0, START, 2 * PAGE_BYTES)
  const blocks = [...journal.blocks()].length
  return { blocks, decision: journal.end().decision }
}

walks.run()

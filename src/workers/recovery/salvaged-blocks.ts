import {
  BLOCK_HEADER_BYTES,
  blockBodyChecks,
  blockBytes,
  blockHash,
  decodeBlockHeader,
} from '../../shared/format/block.ts'
import { GENESIS_HASH } from '../../shared/format/chain.ts'
import { journalPath } from '../../shared/format/paths.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import type { Disk } from '../disk/disk.ts'
import { readIfReadable } from '../disk/files.ts'
import { listJournalFiles, readJournalHeader } from '../journal/journal-files.ts'
import type { Block, WalkStart } from './journal-walk.ts'

const ANY_BLOCK: WalkStart = { lsn: 0, journalFile: -1, blockNumber: -1, blockHash: GENESIS_HASH }

/** Yields the whole blocks after `start` in order and skips gaps; by default, all blocks. */
export function* salvageBlocks(
  disk: Disk,
  shard: number,
  start: WalkStart = ANY_BLOCK,
): Generator<Block> {
  let last = { number: start.blockNumber, hash: start.blockHash }
  for (const number of listJournalFiles(disk, shard)) {
    const bytes = readIfReadable(disk, journalPath(shard, number))
    const file = bytes && readJournalHeader(disk, shard, number)
    if (file === undefined || bytes === undefined || number < start.journalFile) continue
    const skipped = number === start.journalFile ? start.lsn - file.firstLsn : 0
    for (let at = PAGE_BYTES + skipped; at < bytes.length; ) {
      const header = decodeBlockHeader(bytes, at)
      const isOfFile =
        header?.salt === file.salt &&
        header.epoch === file.epoch &&
        header.lsn === file.firstLsn + at - PAGE_BYTES &&
        header.number > last.number &&
        blockBodyChecks(bytes, at, header)
      const isNext = header?.number === last.number + 1
      if (!isOfFile || (isNext && header.previousHash !== last.hash)) {
        at += PAGE_BYTES
        continue
      }
      const bodyAt = at + BLOCK_HEADER_BYTES
      const body = bytes.subarray(bodyAt, bodyAt + header.bodyLength)
      yield { header, body, file: number, position: at }
      last = { number: header.number, hash: blockHash(bytes, at) }
      at += blockBytes(header.bodyLength)
    }
  }
}

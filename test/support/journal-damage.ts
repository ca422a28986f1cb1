import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { decodeBlockHeader } from '../../src/shared/format/block.ts'
import { PAGE_BYTES } from '../../src/shared/limits.ts'

/** Zeros all blocks of a journal's newest file but the first ones: the first opened the epoch. */
export function zeroLastBlocks(directory: string, kept = 1): void {
  const newest =
    readdirSync(directory)
      .filter(name => name.endsWith('.wal'))
      .sort()
      .at(-1) ?? ''
  const bytes = readFileSync(join(directory, newest))
  let blocks = 0
  for (let at = PAGE_BYTES; at < bytes.length; at += PAGE_BYTES) {
    if (decodeBlockHeader(bytes, at) === undefined) continue
    blocks += 1
    if (blocks > kept) bytes.fill(0, at, at + PAGE_BYTES)
  }
  assert.ok(blocks > kept)
  writeFileSync(join(directory, newest), bytes)
}

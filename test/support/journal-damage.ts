import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { decodeBlockHeader } from '../../src/shared/format/block.ts'
import { PAGE_BYTES } from '../../src/shared/limits.ts'

/** Zeros all blocks but the one that opened the epoch. */
export function zeroLastBlocks(directory: string): void {
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
    if (blocks > 1) bytes.fill(0, at, at + PAGE_BYTES)
  }
  assert.ok(blocks > 2)
  writeFileSync(join(directory, newest), bytes)
}

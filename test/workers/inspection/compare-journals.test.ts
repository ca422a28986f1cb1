import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { shardOf } from '../../../src/shared/format/shard-of.ts'
import { runCommand } from '../../support/command.ts'
import { zeroLastBlocks } from '../../support/journal-damage.ts'
import { ENGINE, openDirectory } from '../../support/open-store.ts'
import { withDirectory } from '../../support/server.ts'
import { batchOf } from '../../support/store-helpers.ts'

const compare = suite('workers/inspection/compare-journals')

compare('a committed part whose coordinator lost its decision is named', async () => {
  await withDirectory(async data => {
    const copy = join(data, 'copy')
    await transact(join(data, 'store'), copy)
    const sound = await runCommand(['verify', '--data', copy])
    assert.is(sound.code, 0, sound.stdout.toString())
    zeroLastBlocks(join(copy, 'journals/shard-00'))
    const { code, stdout } = await runCommand(['verify', '--data', copy])
    assert.is(code, 1, stdout.toString())
    assert.match(
      stdout.toString(),
      /DAMAGE journals\/shard-00 · the journal ends at LSN \d+, and by a transaction in/,
    )
  })
})

/** Leaves a copy of a store of two shards as a crash right behind a transaction leaves it. */
async function transact(data: string, copy: string): Promise<void> {
  mkdirSync(data)
  const engine = { ...ENGINE, checkpointIntervalMs: 1e9 }
  const store = await openDirectory(data, 2, { engine })
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  const streams = [0, 1].map(shard => names.find(name => shardOf(name, 2) === shard) ?? '')
  await store.transact(streams.map(stream => ({ stream, ...batchOf('t'), expectedOffset: 0 })))
  cpSync(data, copy, { recursive: true })
  rmSync(join(copy, 'lock'), { force: true })
  await store.close()
}

compare.run()

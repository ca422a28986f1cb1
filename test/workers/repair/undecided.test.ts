import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { shardOf } from '../../../src/shared/format/shard-of.ts'
import type { RepairReport } from '../../../src/shared/protocol/inspection.ts'
import { runCommand } from '../../support/command.ts'
import { zeroLastBlocks } from '../../support/journal-damage.ts'
import { ENGINE, openDirectory } from '../../support/open-store.ts'
import { withDirectory } from '../../support/server.ts'
import { batchOf } from '../../support/store-helpers.ts'

const undecided = suite('workers/repair/undecided')

const engine = { ...ENGINE, checkpointIntervalMs: 1e9 }
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f']
const [DECIDED = '', PENDING = ''] = [0, 1].map(shard =>
  NAMES.find(name => shardOf(name, 2) === shard),
)

undecided(
  'a repair takes no part of a transaction whose decision is lost, unless told',
  async () => {
    await withDirectory(async data => {
      const { store } = await loseDecision(data)
      const { code, stdout } = await runCommand(['repair', '--data', store, '--apply', '--json'])
      assert.is(code, 1, stdout.toString())
      const found = JSON.parse(stdout.toString()) as RepairReport
      assert.equal([found.undecided.length, found.quarantine], [1, null])
    })
  },
)

for (const [option, records] of [
  ['--commit', 1],
  ['--abort', undefined],
] as const) {
  undecided(`a repair with ${option} ends the part of a lost decision`, async () => {
    await withDirectory(async data => {
      const { store, id } = await loseDecision(data)
      const repair = await runCommand(['repair', '--data', store, '--apply', option, id])
      assert.is(repair.code, 0, repair.stdout.toString())
      const opened = await openDirectory(store, 2, { engine })
      try {
        assert.equal(
          opened.status().map(({ state }) => state),
          ['ready', 'ready'],
        )
        assert.is(await opened.info(PENDING).then(({ nextOffset }) => nextOffset, absent), records)
      } finally {
        await opened.close()
      }
    })
  })
}

function absent(error: unknown): undefined {
  if (!(error instanceof StoreError) || error.code !== 'stream_not_found') throw error
}

/** A store after a crash: shard 1 has a part in doubt, and the journal of shard 0 is lost. */
async function loseDecision(data: string): Promise<{ store: string; id: string }> {
  const live = join(data, 'live')
  const store = join(data, 'store')
  mkdirSync(live)
  const opened = await openDirectory(live, 2, { engine })
  const appends = [DECIDED, PENDING].map(stream => ({ stream, ...batchOf('t'), expectedOffset: 0 }))
  const { transactionId } = await opened.transact(appends)
  cpSync(live, store, { recursive: true })
  rmSync(join(store, 'lock'), { force: true })
  await opened.close()
  zeroLastBlocks(join(store, 'journals/shard-01'), 2)
  zeroLastBlocks(join(store, 'journals/shard-00'))
  rmSync(join(store, 'journals/shard-00/newest.json'))
  rmSync(join(store, 'journals/copies/shard-00.newest.json'))
  return { store, id: transactionId }
}

undecided.run()

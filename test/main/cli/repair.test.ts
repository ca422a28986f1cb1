import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { journalPath, newestCopyPath, newestPath } from '../../../src/shared/format/paths.ts'
import type { RepairReport } from '../../../src/shared/protocol/inspection.ts'
import { runCommand } from '../../support/command.ts'
import { openDirectory } from '../../support/open-store.ts'
import { append } from '../../support/store-helpers.ts'

const repair = suite('main/cli/repair')

repair('a refused journal is repaired, and the store serves and verifies again', async () => {
  await withStopped(async data => {
    for (const path of [newestPath(0), newestCopyPath(0)]) rmSync(join(data, path))
    const dry = await runCommand(['repair', '--data', data])
    assert.is(dry.code, 0, dry.stderr)
    assert.match(dry.stdout.toString(), /nothing was written; repair it with --apply/)
    assert.is((await runCommand(['verify', '--data', data])).code, 1)

    const applied = await runCommand(['repair', '--data', data, '--apply', '--json'])
    const { quarantine, losses } = JSON.parse(applied.stdout.toString()) as RepairReport
    assert.ok(readdirSync(join(data, quarantine ?? '')).includes('shard-00'))
    const verified = await runCommand(['verify', '--data', data])
    assert.is(verified.code, 0, verified.stderr)
    assert.match(verified.stdout.toString(), /losses\.json · given up by a repair of shard 0/)
    assert.is(losses.length, 1)

    const store = await openDirectory(data, 1)
    assert.is((await append(store, 'orders', '4')).firstOffset, 3)
    await store.close()
  })
})

repair('a sound directory has nothing to repair, and no directory is none', async () => {
  await withStopped(async data => {
    const { code, stdout } = await runCommand(['repair', '--data', data, '--apply'])
    assert.equal([code, stdout.toString()], [0, `${data}: nothing to repair\n`])
    const other = await runCommand(['repair', '--data', join(data, 'keys')])
    assert.is(other.code, 1)
    assert.match(other.stderr, /is no data directory/)
  })
})

repair('a lost journal file is named in the report', async () => {
  await withStopped(async data => {
    const files = readdirSync(join(data, 'journals/shard-00'))
    const newest = Math.max(
      ...files.filter(name => name.endsWith('.wal')).map(name => Number.parseInt(name, 10)),
    )
    rmSync(join(data, journalPath(0, newest)))
    const { stdout } = await runCommand(['repair', '--data', data])
    assert.match(stdout.toString(), `damage shard 0: journal file ${newest} is missing`)
  })
})

/** Runs with a data directory that holds one stream of three records. */
async function withStopped(run: (data: string) => Promise<void>): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), 'varve-repair-'))
  try {
    const store = await openDirectory(data, 1)
    await append(store, 'orders', '1', '2', '3')
    await store.close()
    await run(data)
  } finally {
    rmSync(data, { recursive: true })
  }
}

repair.run()

import fs, { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DiskError } from '../../../src/workers/disk/disk.ts'
import { NodeDisk } from '../../../src/workers/disk/node-disk.ts'
import { OpenFiles } from '../../../src/workers/disk/open-files.ts'
import { runStepsTogether, type SyncStep } from '../../../src/workers/disk/sync-steps.ts'

/** The name is what syncfs through a program once stumbled over. */
async function withDisk(use: (disk: NodeDisk, data: string) => Promise<void>): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), 'varve-disk-usage-'))
  try {
    await use(new NodeDisk(data), data)
  } finally {
    rmSync(data, { recursive: true })
  }
}

async function failureOf(disk: NodeDisk, step: SyncStep): Promise<DiskError> {
  try {
    await disk.syncTogether(step)
  } catch (error) {
    if (error instanceof DiskError) return error
    throw error
  }
  throw new Error('the sync succeeds')
}

/** Closes files as the system does whose last write back fails: they are closed, and it says so. */
async function withFailingClose(code: string, act: () => Promise<void>): Promise<number[]> {
  const { closeSync } = fs
  const closed: number[] = []
  fs.closeSync = file => {
    closeSync(file)
    closed.push(file)
    throw Object.assign(new Error(code), { code })
  }
  syncBuiltinESMExports()
  try {
    await act()
  } finally {
    fs.closeSync = closeSync
    syncBuiltinESMExports()
  }
  return closed
}

const node = suite('workers/disk/node-disk')

node('a close that fails fails nothing, and no descriptor is closed twice', () =>
  withDisk(async (disk, data) => {
    mkdirSync(join(data, 'd'))
    const files = new OpenFiles(disk)
    const closed = await withFailingClose('EIO', async () => {
      for (const name of ['a', 'b', 'c']) files.open(name, 'create')
      await runStepsTogether(step => disk.syncTogether(step), files.sync())
      files.close()
      await disk.syncTogether({ files: [], directories: ['d'] })
      disk.syncDirectory('d')
    })
    assert.is(closed.length, 5)
  }),
)

node('many files and directories are synced in one step', () =>
  withDisk(async (disk, data) => {
    const names = Array.from({ length: 40 }, (_, at) => `file-${at}`)
    for (const name of names) mkdirSync(join(data, `${name}.d`))
    const files = names.map(name => disk.open(name, 'create'))
    for (const file of files) disk.write(file, Buffer.from('x'), 0)
    await disk.syncTogether({ files, directories: ['', ...names.map(name => `${name}.d`)] })
    for (const file of files) disk.close(file)
  }),
)

node('a failed sync is final, even beside a directory that cannot be opened', () =>
  withDisk(async disk => {
    const file = disk.open('file', 'create')
    disk.close(file)
    const error = await failureOf(disk, { files: [file], directories: ['missing'] })
    assert.equal([error.isSync, error.operation, error.code], [true, 'sync', 'EBADF'])
  }),
)

node('a directory that cannot be opened to be synced is no failed sync', () =>
  withDisk(async disk => {
    const error = await failureOf(disk, { files: [], directories: ['missing'] })
    assert.equal([error.isSync, error.operation], [false, 'open'])
    assert.throws(
      () => disk.syncDirectory('missing'),
      (one: unknown) => one instanceof DiskError && !one.isSync,
    )
  }),
)

node('steps go on only when what they wait for has been synced', async () => {
  const seen: string[] = []
  function* steps() {
    yield { files: [1], directories: [] }
    seen.push('behind the first')
    try {
      yield { files: [2], directories: [] }
    } catch {
      seen.push('failed')
    }
    return 3
  }
  const result = await runStepsTogether(async ({ files }) => {
    await Promise.resolve()
    seen.push(`sync ${files.join()}`)
    if (files.includes(2)) throw new DiskError('EIO', 'sync', 'x')
  }, steps())
  assert.is(result, 3)
  assert.equal(seen, ['sync 1', 'behind the first', 'sync 2', 'failed'])
})

node('what cannot be looked at is not taken for missing', () =>
  withDisk(async (disk, data) => {
    symlinkSync('loop', join(data, 'loop'))
    writeFileSync(join(data, 'file'), '')
    const found = ['file', 'none', 'file/below'].map(path => disk.exists(path))
    assert.equal(found, [true, false, false])
    assert.throws(() => disk.exists('loop'), /look up loop: ELOOP/)
  }),
)

node.run()

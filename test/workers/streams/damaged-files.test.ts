import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { hexToLatin1, latin1ToHex } from '../../../src/shared/format/bytes.ts'
import { decodeManifest, encodeManifest } from '../../../src/shared/format/manifest.ts'
import { indexPath, manifestPath, segmentPath } from '../../../src/shared/format/paths.ts'
import { streamIdOf } from '../../../src/shared/format/stream-id.ts'
import { DiskError, type FileMode } from '../../../src/workers/disk/disk.ts'
import { replaceFile } from '../../../src/workers/disk/files.ts'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock, SimulatedShard } from '../../support/simulated-shard.ts'
import { directoryOf } from '../../support/stream-directory.ts'

/** A disk on which some files cannot be had. */
class BadDisk extends SimulatedDisk {
  #bad = /^$/
  #code = 'EIO'

  fail(bad: RegExp, code: string): void {
    this.#bad = bad
    this.#code = code
  }

  override open(path: string, mode: FileMode): number {
    if (this.#bad.test(path)) throw new DiskError(this.#code, 'open', path)
    return super.open(path, mode)
  }

  override rename(from: string, to: string): void {
    if (this.#bad.test(`${from} to`)) throw new DiskError(this.#code, 'rename', from)
    super.rename(from, to)
  }

  override remove(path: string): void {
    if (this.#bad.test(path)) throw new DiskError(this.#code, 'remove', path)
    super.remove(path)
  }
}

function open() {
  const disk = new BadDisk(new Random(1))
  const clock = new Clock()
  return { disk, clock, shard: new SimulatedShard(disk, new Random(2), clock) }
}

/** Appends records and makes each durable, as a client that waits for every answer does. */
function append(shard: SimulatedShard, stream: string, count: number): void {
  for (let added = 0; added < count; added += 1) {
    shard.append(stream, [`${added}`.padEnd(400)], () => undefined)
    shard.advance()
    shard.flush()
    shard.advance()
  }
}

/** Files of a stream, and the records of it that are in segments. */
function stored(count: number) {
  const opened = open()
  append(opened.shard, 'a', count)
  append(opened.shard, 'b', 1)
  opened.shard.stop()
  const shard = new SimulatedShard(opened.disk, new Random(3), opened.clock)
  return { ...opened, shard, directory: directoryOf(opened.disk, 'a') }
}

/** Other streams go on, in this life and in the next. */
function assertOthersGoOn({ shard, disk, clock }: ReturnType<typeof open>): void {
  assert.not.ok(shard.hasFailed)
  append(shard, 'b', 1)
  shard.stop()
  const next = new SimulatedShard(disk, new Random(4), clock)
  append(next, 'b', 1)
  next.settle()
  assert.not.ok(next.hasFailed)
  assert.is(next.read('b').length, 3)
}

const damaged = suite('workers/streams/damaged-files')

damaged('a missing active segment is made again, and what was in it is named', () => {
  const store = stored(3)
  const { shard, disk, directory } = store
  disk.remove(segmentPath(directory, 0))
  append(shard, 'a', 2)
  shard.settle()
  const [damage] = shard.damage
  assert.equal([damage?.stream, damage?.firstOffset, damage?.nextOffset], ['a', 0, 3])
  assert.match(damage?.reason ?? '', /segment 0 was missing/)
  assert.throws(() => shard.read('a'), /corrupt|cannot be read/)
  assert.is(shard.show('b').bodies.length, 1)
  assertOthersGoOn(store)
})

damaged('a missing directory of a stream is made again', () => {
  const store = stored(60)
  const { shard, disk, directory } = store
  for (const name of disk.list(directory)) disk.remove(`${directory}/${name}`)
  disk.removeDirectory(directory)
  append(shard, 'a', 60)
  shard.settle()
  const sealed = decodeManifest(disk.content(manifestPath(directory)))?.sealed ?? []
  assert.equal(
    sealed.map(({ number }) => number),
    sealed.map((_, at) => at),
  )
  assert.is(sealed[0]?.firstOffset, 0)
  for (const [at, { nextOffset }] of sealed.entries()) {
    assert.is(sealed[at + 1]?.firstOffset ?? nextOffset, nextOffset)
  }
  const named = shard.damage.map(({ firstOffset, nextOffset }) => [firstOffset, nextOffset])
  assert.is(Math.min(...named.map(([first]) => first ?? 0)), 0)
  assert.is(Math.max(...named.map(([, next]) => next ?? 0)), 60)
  assertOthersGoOn(store)
})

const MANIFESTS: Record<string, (disk: BadDisk, path: string) => void> = {
  missing: (disk, path) => disk.remove(path),
  unreadable: disk => disk.fail(/manifest\.json$/, 'EIO'),
  damaged: (disk, path) => {
    const file = disk.open(path, 'update')
    disk.truncate(file, disk.size(file) - 1)
    disk.close(file)
  },
}

for (const [kind, hurt] of Object.entries(MANIFESTS)) {
  damaged(`a read needs no manifest, and has one that is ${kind} written anew`, () => {
    const store = stored(60)
    const { shard, disk, clock, directory } = store
    const path = manifestPath(directory)
    const before = decodeManifest(disk.content(path))
    assert.ok((before?.sealed.length ?? 0) > 1)
    hurt(disk, path)
    assert.is(shard.read('a').length, 60)
    assert.ok(shard.checkpoints('a', 0, 100).checkpoints.length > 1)
    disk.fail(/^$/, '')
    clock.pass(1000)
    shard.settle()
    const notes = shard.logged.filter(({ fields }) => /manifest/.test(`${fields['reason']}`))
    assert.is(notes.length, kind === 'unreadable' ? 0 : 1)
    assert.equal(decodeManifest(disk.content(path)), before)
    assertOthersGoOn(store)
  })
}

for (const [call, bad] of [
  ['written', /manifest\.json\.tmp$/],
  ['renamed', /manifest\.json\.tmp to$/],
] as const) {
  damaged(`a manifest that cannot be ${call} holds no stream back`, () => {
    const store = stored(60)
    const { shard, disk, clock, directory } = store
    const path = manifestPath(directory)
    const before = decodeManifest(disk.content(path))?.sealed.length ?? 0
    const { checkpoints } = shard.stats()
    disk.fail(bad, 'EIO')
    append(shard, 'a', 60)
    clock.pass(1000)
    shard.settle()
    assert.equal([shard.damage, shard.hasFailed], [[], false])
    assert.ok(shard.stats().checkpoints > checkpoints)
    assert.not.ok(disk.exists(path))
    disk.fail(/^$/, '')
    assert.is(shard.read('a').length, 120)
    clock.pass(1000)
    shard.settle()
    assert.ok((decodeManifest(disk.content(path))?.sealed.length ?? 0) > before)
    assert.is(shard.read('a').length, 120)
    assertOthersGoOn(store)
  })
}

damaged('a read names every one of several segments that are lost with the manifest', () => {
  const { shard, disk, directory } = stored(60)
  const sealed = decodeManifest(disk.content(manifestPath(directory)))?.sealed ?? []
  assert.ok(sealed.length > 2)
  disk.remove(manifestPath(directory))
  for (const { number } of sealed.slice(0, 2)) disk.remove(segmentPath(directory, number))
  assert.throws(() => shard.show('a', 'none'), /records 0 to \d+ cannot be read/)
})

damaged('a segment that was cut short is named from there, and its stream goes on', () => {
  const store = stored(4)
  const { shard, disk, directory } = store
  const file = disk.open(segmentPath(directory, 0), 'update')
  disk.truncate(file, 1000)
  disk.close(file)
  append(shard, 'a', 1)
  shard.settle()
  const [damage] = shard.damage
  assert.equal([damage?.firstOffset, damage?.nextOffset], [2, 4])
  assertOthersGoOn(store)
})

for (const how of ['damaged', 'missing', 'unreadable', 'of another stream'] as const) {
  damaged(`a manifest that is ${how} is rebuilt from the segments`, () => {
    const store = stored(60)
    const { shard, disk, directory } = store
    const path = manifestPath(directory)
    const before = decodeManifest(disk.content(path))
    if (how === 'damaged') disk.content(path).fill(0x20, 3, 9)
    if (how === 'missing') disk.remove(path)
    if (how === 'of another stream' && before !== undefined) {
      // Sound in itself, and with as many segments.
      const created = hexToLatin1(before.creationHash)
      const streamId = latin1ToHex(streamIdOf('n'.repeat(6), created, 'other'))
      const sealed = before.sealed.map(range => ({ ...range, chainHead: 'ab'.repeat(32) }))
      replaceFile(disk, path, encodeManifest({ ...before, stream: 'other', streamId, sealed }))
    }
    if (how === 'unreadable') disk.fail(/manifest\.json$/, 'EIO')
    append(shard, 'a', 20)
    shard.settle()
    disk.fail(/^$/, '')
    const { sealed = [] } = decodeManifest(disk.content(path)) ?? {}
    assert.equal(sealed.slice(0, before?.sealed.length), before?.sealed)
    assert.is(shard.read('a').length, 80)
    assert.ok(shard.logged.some(({ fields }) => /rebuilt/.test(`${fields['reason']}`)))
    assert.equal(shard.damage, [])
    assertOthersGoOn(store)
  })
}

damaged('a manifest that is rebuilt keeps the place of a segment that is lost', () => {
  const store = stored(60)
  const { shard, disk, directory } = store
  const before = decodeManifest(disk.content(manifestPath(directory)))?.sealed ?? []
  disk.remove(segmentPath(directory, 1))
  disk.remove(manifestPath(directory))
  append(shard, 'a', 20)
  shard.settle()
  const after = decodeManifest(disk.content(manifestPath(directory)))?.sealed ?? []
  const [lost] = before.slice(1)
  assert.equal(after.slice(0, before.length), [
    before[0],
    { ...lost, recordHash: '', lastTimestamp: after[1]?.lastTimestamp },
    ...before.slice(2),
  ])
  const [damage] = shard.damage
  assert.equal([damage?.firstOffset, damage?.nextOffset], [lost?.firstOffset, lost?.nextOffset])
  assertOthersGoOn(store)
})

damaged('an index that cannot be written is said, and nothing else', () => {
  const store = stored(3)
  const { shard, disk, directory } = store
  disk.fail(new RegExp(`^${indexPath(directory, 0)}$`), 'EIO')
  append(shard, 'a', 1)
  shard.settle()
  assert.is(shard.stats().checkpoints, 1)
  assert.ok(shard.logged.some(({ fields }) => /\.idx/.test(`${fields['reason']}`)))
  disk.fail(/^$/, '')
  assert.is(shard.read('a').length, 4)
  assertOthersGoOn(store)
})

for (const code of ['EIO', 'EACCES']) {
  damaged(`a segment that answers ${code} is named, tried again, and loses nothing`, () => {
    const store = stored(3)
    const { shard, disk, clock, directory } = store
    disk.fail(new RegExp(`^${segmentPath(directory, 0)}$`), code)
    append(shard, 'a', 2)
    shard.settle()
    assert.equal([shard.hasFailed, shard.stats().checkpoints > 0], [false, true])
    const [damage] = shard.unwritten
    assert.equal([damage?.stream, damage?.firstOffset, damage?.nextOffset], ['a', 3, 5])
    disk.fail(/^$/, '')
    clock.pass(60_000)
    shard.settle()
    assert.equal([shard.unwritten, shard.read('a').length], [[], 5])
    assertOthersGoOn(store)
  })
}

damaged('a file of a deleted stream that cannot be removed stops nothing', () => {
  const store = stored(3)
  const { shard, disk, directory } = store
  disk.fail(new RegExp(`^${directory}/`), 'EPERM')
  shard.remove('a', () => undefined)
  shard.settle()
  assert.is(shard.stats().checkpoints, 1)
  assert.ok(shard.logged.some(({ fields }) => /EPERM/.test(`${fields['reason']}`)))
  assertOthersGoOn(store)
})

damaged('a directory in the place of a manifest or a segment is set aside', () => {
  const store = stored(3)
  const { shard, disk, directory } = store
  const code = 'EISDIR'
  for (const path of [segmentPath(directory, 0), manifestPath(directory)]) {
    disk.remove(path)
    disk.makeDirectory(path)
  }
  let isThere = true
  disk.rename = (from: string, to: string) => {
    if (from === segmentPath(directory, 0)) isThere = false
    SimulatedDisk.prototype.rename.call(disk, from, to)
  }
  const openFile = disk.open.bind(disk)
  disk.open = (path: string, mode: FileMode) => {
    if (isThere && path === segmentPath(directory, 0)) throw new DiskError(code, 'open', path)
    return openFile(path, mode)
  }
  append(shard, 'a', 1)
  shard.settle()
  assert.ok(disk.exists(`${segmentPath(directory, 0)}.aside-1`))
  assert.equal([shard.damage[0]?.firstOffset, shard.damage[0]?.nextOffset], [0, 3])
  assertOthersGoOn(store)
})

damaged.run()

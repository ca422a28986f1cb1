import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { StreamEntry } from '../../../src/shared/format/catalogue.ts'
import { checkpointOf, decodeCheckpointBody } from '../../../src/shared/format/checkpoint.ts'
import { changedStore } from '../../support/changed-store.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import { entriesOf, forgeEntry, forgeState, recordsOf, swapFields } from '../../support/forger.ts'
import { segmentOf, StoreMaker, verifyStore } from '../../support/inspected-store.ts'

const NOT_SIGNED = 'its configuration, closed, first offset or creation time is not what was signed'
const NOT_CREATED = 'the stream id was made for another name or another state at creation'
const WRONG_SIGNATURE =
  'the checkpoint that signs its configuration and state has a wrong signature'

const altered = suite('workers/inspection/altered-state')

/** `stream: reason` of what is damaged once `alter` has run on the files. */
function named(alter: (disk: FlatDisk) => void): string[] {
  const { disk } = changedStore().copy()
  alter(disk)
  return verifyStore(disk).damages.map(({ stream, reason }) => `${stream}: ${reason}`)
}

function entryOf(disk: FlatDisk, name: string): StreamEntry {
  return entriesOf(disk).find(entry => entry.name === name) as StreamEntry
}

altered('streams that were configured, closed and trimmed verify', () => {
  assert.equal(
    named(() => undefined),
    [],
  )
})

altered('configurations that were swapped are named for both streams', () => {
  const found = named(disk => swapFields(disk, 'created', 'configured', ['config']))
  assert.equal(found.sort(), [`configured: ${NOT_SIGNED}`, `created: ${NOT_SIGNED}`])
})

altered('configurations that were swapped with all that vouches for them are named', () => {
  const fields = ['config', 'createdAt', 'creationHash', 'stateCheckpoint'] as const
  const created = named(disk => swapFields(disk, 'created', 'other', fields))
  for (const stream of ['created', 'other']) {
    assert.ok(created.includes(`${stream}: ${NOT_CREATED}`), created.join('\n'))
  }
  const signed = ['config', 'createdAt', 'closed', 'firstOffset', 'stateCheckpoint'] as const
  const changed = named(disk => swapFields(disk, 'closed', 'configured', signed))
  for (const stream of ['closed', 'configured']) {
    assert.ok(changed.includes(`${stream}: ${WRONG_SIGNATURE}`), changed.join('\n'))
  }
})

const CHANGES: Readonly<Record<string, Partial<StreamEntry>>> = {
  'a stream that was made to look closed': { closed: true },
  'a time of creation that was changed': { createdAt: 1 },
  'a first offset that was raised': { firstOffset: 8 },
  'a configuration that is no JSON': { config: '[' },
}

for (const [what, change] of Object.entries(CHANGES)) {
  altered(`${what} is named`, () => {
    for (const stream of ['created', 'configured', 'trimmed']) {
      const found = named(disk => forgeEntry(disk, stream, () => change))
      const expected = change.config === undefined ? `${stream}: ${NOT_SIGNED}` : undefined
      assert.equal(found.length, 1, found.join('\n'))
      if (expected !== undefined) assert.is(found[0], expected)
    }
  })
}

altered('a closed stream that was made to look open is named', () => {
  const found = named(disk => forgeEntry(disk, 'closed', () => ({ closed: false })))
  assert.equal(found, [`closed: ${NOT_SIGNED}`])
})

altered('a state whose checkpoint was made to say it is named by the signature', () => {
  const found = named(disk =>
    forgeEntry(disk, 'closed', entry => forgeState(entry, { closed: false })),
  )
  assert.equal(found[0], `closed: ${WRONG_SIGNATURE}`)
})

altered('an older state, with the checkpoint that signed it, is named', () => {
  const found = named(disk => {
    const path = segmentOf(disk, 'configured', -1)
    const all = disk.paths().filter(it => it.startsWith(path.slice(0, path.lastIndexOf('/'))))
    const older = all.flatMap(it => changesIn(disk.content(it)))[0]
    assert.ok(older !== undefined, 'the first change is in a segment')
    forgeEntry(disk, 'configured', ({ config }) => {
      const { retention: _, ...before } = JSON.parse(config) as Record<string, unknown>
      return { config: JSON.stringify(before), stateCheckpoint: older }
    })
  })
  const reason =
    'the last checkpoint signs another configuration, closed, first offset or creation time'
  assert.equal(found, [`configured: ${reason}`])
})

/** The checkpoints of a segment that came with a change, latin1. */
function changesIn(bytes: Buffer): string[] {
  return recordsOf(bytes)
    .filter(record => (decodeCheckpointBody(bytes, record)?.change ?? 0) > 0)
    .map(({ at, end }) => bytes.latin1Slice(at, end))
}

altered('the state that a change left is still vouched for when all records are trimmed', () => {
  const maker = new StoreMaker()
  maker.append('orders', 9)
  maker.configure('orders', { checkpointEvery: 7 })
  maker.append('orders', 1)
  maker.store()
  maker.trim('orders', 10)
  for (let round = 0; round < 6; round += 1) maker.store()
  maker.stop()
  const { disk } = maker.copy()
  assert.equal(verifyStore(disk).damages, [])
  const { stateCheckpoint, trimPoint } = entryOf(disk, 'orders')
  assert.is(trimPoint.offset, 10)
  assert.is(checkpointOf(stateCheckpoint)?.isLastOfSegment, true)
  forgeEntry(disk, 'orders', () => ({ config: '{}' }))
  assert.equal(
    verifyStore(disk).damages.map(({ reason }) => reason),
    [NOT_SIGNED],
  )
})

altered.run()

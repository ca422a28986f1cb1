import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { findLostEnds } from '../../../src/shared/format/journal-ends.ts'

const ends = suite('shared/format/journal-ends')

ends('a journal that ends before what another vouches for has lost its end', () => {
  const journals = [
    { endLsn: 100, witnesses: [] },
    { endLsn: 900, witnesses: [{ shard: 0, lsn: 101 }] },
  ]
  assert.equal([...findLostEnds(journals).keys()], [0])
})

ends('a journal that ends where another says, or behind it, is whole', () => {
  for (const endLsn of [100, 101, 5000]) {
    const journals = [
      { endLsn, witnesses: [] },
      { endLsn: 1, witnesses: [{ shard: 0, lsn: 100 }] },
    ]
    assert.is(findLostEnds(journals).size, 0)
  }
})

ends('nothing is said of a journal that could not be read, or that no shard has', () => {
  const witnesses = [
    { shard: 1, lsn: 100 },
    { shard: 7, lsn: 100 },
  ]
  assert.is(findLostEnds([{ endLsn: 1, witnesses }, undefined]).size, 0)
})

ends.run()

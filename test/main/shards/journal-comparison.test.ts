import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { JournalComparison } from '../../../src/main/shards/journal-comparison.ts'

const comparison = suite('main/shards/journal-comparison')

const WITNESS = { endLsn: 10, witnesses: [{ shard: 0, lsn: 11 }] }
const SHORT = { endLsn: 10, witnesses: [] }

comparison('no shard goes on before all of them have read their journals', async () => {
  const all = new JournalComparison(2)
  const order: string[] = []
  const first = all.join(0, SHORT).then(lost => {
    order.push('first goes on')
    return lost
  })
  await Promise.resolve()
  order.push('second has read')
  assert.is(await all.join(1, WITNESS), null)
  assert.match((await first) ?? '', /it was durable up to LSN 11/)
  assert.equal(order, ['second has read', 'first goes on'])
})

comparison('a shard that cannot be read keeps no other waiting', async () => {
  const all = new JournalComparison(2)
  const first = all.join(0, SHORT)
  all.leave(1)
  assert.is(await first, null)
})

comparison('a shard that opens again is not held against the start', async () => {
  const all = new JournalComparison(2)
  const both = [all.join(0, SHORT), all.join(1, WITNESS)]
  await Promise.all(both)
  assert.is(await all.join(0, SHORT), null)
})

comparison.run()

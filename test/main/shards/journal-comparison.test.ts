import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { JournalComparison } from '../../../src/main/shards/journal-comparison.ts'

const comparison = suite('main/shards/journal-comparison')

const WITNESS = { endLsn: 10, witnesses: [{ shard: 0, lsn: 11 }] }
const SHORT = { endLsn: 10, witnesses: [] }
const LONG = { endLsn: 20, witnesses: [] }

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

comparison('a shard that opens again is compared with what the others said', async () => {
  const all = new JournalComparison(2)
  await Promise.all([all.join(0, LONG), all.join(1, WITNESS)])
  assert.is(await all.join(0, { ...LONG, endLsn: 30 }), null)
  assert.match((await all.join(0, SHORT)) ?? '', /when the shard was opened before/)
  assert.match((await all.join(0, LONG)) ?? '', /ended at LSN 30/)
})

comparison('a shard that was refused is refused again when it opens again', async () => {
  const all = new JournalComparison(2)
  await Promise.all([all.join(0, SHORT), all.join(1, WITNESS)])
  assert.match((await all.join(0, SHORT)) ?? '', /it was durable up to LSN 11/)
})

comparison('a shard that dies while it waits is compared by what it reads then', async () => {
  const all = new JournalComparison(2)
  const died = all.join(0, LONG)
  const again = all.join(0, SHORT)
  assert.is(await all.join(1, WITNESS), null)
  assert.match((await again) ?? '', /it was durable up to LSN 11/)
  await died
})

comparison.run()

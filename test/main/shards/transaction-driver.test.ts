import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { allGoOn, ScriptedShards } from '../../support/scripted-shards.ts'

const ID = 0xabc
const LOST = new StoreError('shard_failed', 'died', { outcome: 'unknown' })
const REFUSED = new StoreError('shard_failed', 'not there', { outcome: 'not_applied' })

const driver = suite('main/shards/transaction-driver')

driver('shards are asked in ascending order, and the lowest decides', async () => {
  const shards = new ScriptedShards(3)
  const run = shards.transact('s2', 's0', 's1')
  await allGoOn()
  assert.equal(shards.asked.slice(0, 4), ['0 prepare', '1 prepare', '2 prepare', '0 decide'])
  assert.equal(shards.asked.slice(4), ['1 resolve commit', '2 resolve commit', '0 forget'])
  assert.is(run.outcome, '0000000000000abc')
})

driver('one shard gets all of it at once', async () => {
  const shards = new ScriptedShards(3)
  shards.transact('s1', 's1b')
  await allGoOn()
  assert.equal(shards.asked, ['1 transact'])
})

driver('nothing is decided while a part is not durable', async () => {
  const shards = new ScriptedShards(2)
  shards.on(1, 'prepare', 'never')
  const run = shards.transact('s0', 's1')
  await allGoOn()
  assert.equal([shards.asked, run.outcome], [['0 prepare', '1 prepare'], undefined])
})

driver('one that takes too long is aborted in every shard that was asked', async () => {
  const shards = new ScriptedShards(3)
  shards.on(1, 'prepare', 'never')
  const run = shards.transact('s0', 's1', 's2')
  await allGoOn()
  shards.expire()
  await allGoOn()
  assert.equal(shards.asked.slice(2), ['0 resolve abort', '1 resolve abort'])
  assert.is(run.outcome, 'overloaded not_applied')
})

driver('a shard that dies before the decision aborts it', async () => {
  const shards = new ScriptedShards(2)
  shards.on(1, 'prepare', LOST)
  const run = shards.transact('s0', 's1')
  await allGoOn()
  assert.is(run.outcome, 'shard_failed not_applied')
  assert.not(shards.asked.includes('0 decide'))
})

driver('after the decision was sent time does not abort it', async () => {
  const shards = new ScriptedShards(2)
  shards.on(0, 'decide', 'never')
  const run = shards.transact('s0', 's1')
  await allGoOn()
  shards.expire()
  await allGoOn()
  assert.is(run.outcome, undefined)
  assert.not(shards.asked.includes('1 resolve abort'))
})

driver('a decision that its shard refuses is none', async () => {
  const shards = new ScriptedShards(2)
  shards.on(0, 'decide', REFUSED)
  const run = shards.transact('s0', 's1')
  await allGoOn()
  assert.is(run.outcome, 'shard_failed not_applied')
  assert.equal(shards.asked.slice(3), ['0 resolve abort', '1 resolve abort'])
})

driver('when the coordinator dies on the decision, its next opening tells', async () => {
  const shards = new ScriptedShards(2)
  shards.on(0, 'decide', LOST)
  const run = shards.transact('s0', 's1')
  await allGoOn()
  assert.equal(shards.asked.slice(3), [], 'nothing is guessed')
  shards.open(0, [], [ID])
  await allGoOn()
  assert.is(shards.asked[3], '1 resolve commit')
  assert.is(run.outcome, '0000000000000abc')
})

driver('and tells too that there was none', async () => {
  const shards = new ScriptedShards(2)
  shards.on(0, 'decide', LOST)
  const run = shards.transact('s0', 's1')
  await allGoOn()
  shards.open(0, [{ id: ID, coordinator: 0 }])
  await allGoOn()
  assert.equal(shards.asked.slice(3).sort(), ['0 resolve abort', '1 resolve abort'])
  assert.is(run.outcome, 'shard_failed not_applied')
})

driver('when the coordinator is gone for good, the others are told that nobody knows', async () => {
  const shards = new ScriptedShards(2)
  shards.on(0, 'decide', LOST)
  const run = shards.transact('s0', 's1')
  await allGoOn()
  shards.driver.onGone(0)
  await allGoOn()
  assert.equal(shards.asked.slice(3), ['1 resolve unknown'])
  assert.is(run.outcome, 'shard_failed unknown')
})

driver('a part whose shard died on the resolution is resolved when it opens', async () => {
  const shards = new ScriptedShards(2)
  shards.on(1, 'resolve', LOST)
  const run = shards.transact('s0', 's1')
  await allGoOn()
  assert.is(run.outcome, undefined)
  shards.on(1, 'resolve', 'done')
  shards.open(1, [{ id: ID, coordinator: 0 }])
  await allGoOn()
  assert.equal(shards.asked.slice(4), ['1 resolve commit', '0 forget'])
  assert.is(run.outcome, '0000000000000abc')
})

driver('a decision is kept while a shard that needs it is gone', async () => {
  const shards = new ScriptedShards(2)
  shards.on(1, 'resolve', LOST)
  const run = shards.transact('s0', 's1')
  await allGoOn()
  shards.driver.onGone(1)
  await allGoOn()
  assert.is(run.outcome, 'shard_failed unknown')
  assert.not(shards.asked.includes('0 forget'))
})

driver('a start commits what was decided, aborts the rest, then forgets', async () => {
  const shards = new ScriptedShards(3)
  shards.open(0, [], [7])
  shards.open(1, [{ id: 7, coordinator: 0 }])
  shards.open(2, [
    { id: 7, coordinator: 0 },
    { id: 8, coordinator: 1 },
  ])
  await shards.driver.start()
  assert.equal(shards.asked, [
    '1 resolve commit',
    '2 resolve commit',
    '2 resolve abort',
    '0 forget',
  ])
})

driver('a start does not take a journal that was refused for one without decisions', async () => {
  const shards = new ScriptedShards(2)
  shards.driver.onOpened(0, null)
  shards.open(1, [{ id: 7, coordinator: 0 }])
  await shards.driver.start()
  assert.equal(shards.asked, ['1 resolve unknown'])
})

driver('a shard that opens again has what it is in doubt of resolved', async () => {
  const shards = new ScriptedShards(2)
  await shards.driver.start()
  shards.open(1, [{ id: 7, coordinator: 0 }])
  await allGoOn()
  assert.equal(shards.asked, ['1 resolve abort'])
})

driver('but not of what is under way: that goes on', async () => {
  const shards = new ScriptedShards(3)
  await shards.driver.start()
  shards.on(2, 'prepare', 'never')
  shards.transact('s0', 's1', 's2')
  await allGoOn()
  shards.open(1, [{ id: ID, coordinator: 0 }])
  await allGoOn()
  assert.equal(shards.asked, ['0 prepare', '1 prepare', '2 prepare'])
})

driver('closing waits for those under way, and takes no more', async () => {
  const shards = new ScriptedShards(2)
  shards.on(1, 'prepare', 'never')
  const run = shards.transact('s0', 's1')
  await allGoOn()
  let isClosed = false
  const closed = shards.driver.close().then(() => {
    isClosed = true
  })
  const late = shards.transact('s0', 's1')
  await allGoOn()
  assert.equal([isClosed, late.outcome], [false, 'shutting_down not_applied'])
  shards.expire()
  await closed
  assert.is(run.outcome, 'overloaded not_applied')
})

driver.run()

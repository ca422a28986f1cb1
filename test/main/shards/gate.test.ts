import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Gate } from '../../../src/main/shards/gate.ts'
import { rejects } from '../../support/store-helpers.ts'

const gate = suite('main/shards/gate')

/** Tasks that end when they are told to; `running` says which have begun. */
function tasks(target: Gate, count: number) {
  const running: number[] = []
  const ends: (() => void)[] = []
  const ended = Array.from({ length: count }, (_, index) =>
    target.run(() => {
      running.push(index)
      return new Promise<void>(resolve => {
        ends[index] = resolve
      })
    }),
  )
  return { running, ends, ended }
}

gate('so many tasks run at a time, the others in their order', async () => {
  const { running, ends, ended } = tasks(new Gate(2, 10), 4)
  assert.equal(running, [0, 1])
  ends[1]?.()
  await ended[1]
  await Promise.resolve()
  assert.equal(running, [0, 1, 2])
  ends[0]?.()
  await ended[0]
  await Promise.resolve()
  assert.equal(running, [0, 1, 2, 3])
  for (const end of ends) end()
  await Promise.all(ended)
})

gate('a task that fails makes room for the next one', async () => {
  const target = new Gate(1, 10)
  const failed = target.run(() => Promise.reject(new Error('no')))
  const next = target.run(() => Promise.resolve('ran'))
  assert.is(await failed.catch(() => 'failed'), 'failed')
  assert.is(await next, 'ran')
})

gate('a task beyond those that may wait is refused, and those before it run', async () => {
  const target = new Gate(1, 1)
  const { ends, ended } = tasks(target, 2)
  await rejects(
    target.run(() => Promise.resolve()),
    'overloaded',
  )
  ends[0]?.()
  await ended[0]
  await Promise.resolve()
  ends[1]?.()
  await ended[1]
})

gate.run()

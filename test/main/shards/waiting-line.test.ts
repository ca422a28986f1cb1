import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { WaitingLine } from '../../../src/main/shards/waiting-line.ts'

const line = suite('main/shards/waiting-line')

line('places go to those who came first', async () => {
  const { places, begun, start, end } = lineOf(2)
  const runs = [start('a'), start('b'), start('c'), start('d')]
  await settle()
  assert.equal([begun.join(''), places.waiting], ['ab', 2])
  end('b')
  await settle()
  assert.equal([begun.join(''), places.waiting], ['abc', 1])
  for (const name of ['a', 'c', 'd']) end(name)
  await Promise.all(runs)
  assert.equal([begun.join(''), places.waiting], ['abcd', 0])
})

line('who goes before its turn is never begun, and holds up nobody', async () => {
  const { places, begun, start, end } = lineOf(1)
  const first = start('a')
  const gone = new AbortController()
  const second = start('b', gone.signal)
  const third = start('c')
  await settle()
  gone.abort()
  assert.is(await failureOf(second), 'overloaded')
  assert.is(await failureOf(start('d', gone.signal)), 'overloaded')
  assert.is(places.waiting, 1)
  end('a')
  end('c')
  await Promise.all([first, third])
  assert.is(begun.join(''), 'ac')
})

line('work beyond what may wait is refused, and what came before it runs', async () => {
  const { places, begun, start, end } = lineOf(1, 1)
  const runs = [start('a'), start('b')]
  assert.is(await failureOf(start('c')), 'overloaded')
  end('a')
  end('b')
  await Promise.all(runs)
  assert.equal([begun.join(''), places.waiting], ['ab', 0])
})

line('work that fails gives its place back', async () => {
  const places = new WaitingLine(1)
  const fail = () => Promise.reject(Object.assign(new Error('no'), { code: 'no' }))
  assert.is(await failureOf(places.run(fail)), 'no')
  assert.is(await places.run(() => Promise.resolve(1)), 1)
})

/** Work by name, which ends when it is told to. */
function lineOf(count: number, waitingMax?: number) {
  const places = new WaitingLine(count, waitingMax)
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const ended = new Set<string>()
  const start = (name: string, signal?: AbortSignal) =>
    places.run(() => {
      begun.push(name)
      return new Promise<void>(resolve => {
        if (ended.has(name)) resolve()
        else ends.set(name, resolve)
      })
    }, signal)
  const end = (name: string) => {
    ended.add(name)
    ends.get(name)?.()
  }
  return { places, begun, start, end }
}

function failureOf(run: Promise<unknown>): Promise<string> {
  return run.then(
    () => 'none',
    (error: unknown) => (error as { code: string }).code,
  )
}

function settle(): Promise<void> {
  return new Promise(resolve => {
    setImmediate(resolve)
  })
}

line.run()

import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

type Value = { writer: string; number: number; after: number | null }
type Writers = {
  Writer: new (
    name: string,
  ) => {
    next(count: number): Value[]
    acknowledge(answer: { nextOffset: number }, count: number): void
  }
  Ledger: new () => {
    readonly isRight: boolean
    add(record: { offset: number; data: Value }): void
  }
}

const path = resolve(import.meta.dirname, '../../../k6/lib/writers.js')
const { Writer, Ledger } = (await import(pathToFileURL(path).href)) as Writers

const writers = suite('k6/lib/writers')

/** Three records of a writer, the first two of one batch, at the offsets that it was told. */
function records(): { offset: number; data: Value }[] {
  const writer = new Writer('a')
  const batch = writer.next(2)
  writer.acknowledge({ nextOffset: 12 }, 2)
  return [...batch, ...writer.next(1)].map((data, index) => ({
    offset: [10, 11, 15][index] ?? 0,
    data,
  }))
}

function isRight(found: readonly { offset: number; data: Value }[]): boolean {
  const ledger = new Ledger()
  for (const record of found) ledger.add(record)
  return ledger.isRight
}

writers('records as acknowledged are right', () => {
  assert.is(isRight(records()), true)
})

writers('a record that is missing, twice or out of order is seen', () => {
  const [first, second, third] = records() as [never, never, never]
  assert.is(isRight([first, third]), false)
  assert.is(isRight([first, second, second, third]), false)
  assert.is(isRight([second, first, third]), false)
})

writers('a record at another offset than was acknowledged is seen', () => {
  const moved = records().map((record, index) => (index === 1 ? { ...record, offset: 12 } : record))
  assert.is(isRight(moved), false)
})

writers.run()

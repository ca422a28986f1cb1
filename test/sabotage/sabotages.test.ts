import { existsSync, readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SABOTAGES } from './sabotages.ts'

const COUNT_MIN = 40

const sabotages = suite('sabotage/sabotages')

sabotages('every sabotage fits the source: what it replaces is there once', () => {
  const misfits = SABOTAGES.filter(({ file, find }) => occurrences(file, find) !== 1)
  assert.equal(
    misfits.map(({ what, file, find }) => `${what} (${occurrences(file, find)} in ${file})`),
    [],
  )
})

sabotages('every sabotage changes something, and has a name of its own', () => {
  assert.ok(SABOTAGES.length >= COUNT_MIN, `${SABOTAGES.length} sabotages`)
  assert.is(new Set(SABOTAGES.map(({ what }) => what)).size, SABOTAGES.length)
  const idle = SABOTAGES.filter(({ find, replace }) => find === replace)
  assert.equal(idle, [])
})

sabotages('every test that a sabotage names is there', () => {
  const missing = SABOTAGES.flatMap(({ tests }) => tests).filter(
    part =>
      !existsSync(
        part.endsWith('/') ? `test/${part}` : `test/${part.replace(/\.test$/, '')}.test.ts`,
      ),
  )
  assert.equal(missing, [])
})

function occurrences(file: string, find: string): number {
  return existsSync(file) ? readFileSync(file, 'utf8').split(find).length - 1 : 0
}

sabotages.run()

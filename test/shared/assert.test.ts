import { suite } from 'uvu'
import * as uvu from 'uvu/assert'
import { assert, crash, InvariantError, unreachable } from '../../src/shared/assert.ts'

const asserts = suite('shared/assert')

asserts('what holds passes', () => {
  uvu.not.throws(() => assert(true, 'holds'))
})

asserts('what does not hold is an invariant error with its message', () => {
  uvu.throws(
    () => assert(false, 'slots are free'),
    (error: unknown) =>
      error instanceof InvariantError &&
      error.message === 'slots are free' &&
      error.name === 'InvariantError',
  )
})

asserts('an arm that cannot be reached says with what it was', () => {
  uvu.throws(() => unreachable({ kind: 'new' } as never), 'unreachable: {"kind":"new"}')
})

asserts('a crash kills the thread, out of reach of who called it', async () => {
  const failure = new Error('nobody waits for this')
  const thrown = new Promise(resolve => {
    process.once('uncaughtException', resolve)
  })
  uvu.not.throws(() => crash(failure))
  uvu.is(await thrown, failure)
})

asserts.run()

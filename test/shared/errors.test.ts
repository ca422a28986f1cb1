import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ERRORS, StoreError } from '../../src/shared/errors.ts'

const errors = suite('shared/errors')

errors('an error crosses a thread as plain data and comes back', () => {
  const error = new StoreError('offset_mismatch', 'the next offset is 7', { nextOffset: 7 })
  const back = StoreError.fromPlain(structuredClone(error.toPlain()))
  assert.instance(back, StoreError)
  assert.equal(back.toPlain(), error.toPlain())
  assert.equal([back.name, back.message], ['StoreError', 'the next offset is 7'])
})

errors('the cause stays on its side', () => {
  const cause = new Error('/data/streams')
  const error = new StoreError('internal', 'an internal error', {}, cause)
  assert.is(error.cause, cause)
  assert.not.match(JSON.stringify(error.toPlain()), 'streams')
  assert.not.ok('cause' in new StoreError('internal', 'an internal error'))
})

errors('an outcome is added to what an error says', () => {
  const cause = new Error('disk')
  const error = new StoreError('shard_failed', 'the shard stopped', { shard: 1 }, cause)
  const known = error.withOutcome('unknown')
  assert.equal(known.fields, { shard: 1, outcome: 'unknown' })
  assert.equal([known.code, known.message, known.cause], ['shard_failed', error.message, cause])
  assert.equal(error.fields, { shard: 1 })
})

errors('every code has a status of a failure and a title', () => {
  for (const [code, { status, title }] of Object.entries(ERRORS)) {
    assert.match(code, /^[a-z]+(_[a-z]+)*$/)
    assert.ok(status >= 400 && status < 600, code)
    assert.match(title, /^[A-Z].*[^.]$/)
  }
})

errors('only what may pass by itself is worth a retry', () => {
  const retryable = Object.values(ERRORS).filter(error => error.retryable)
  assert.equal(
    retryable.map(({ status }) => status).filter(status => ![408, 429, 503, 507].includes(status)),
    [],
  )
  assert.ok(retryable.length > 0)
})

errors.run()

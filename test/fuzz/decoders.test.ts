import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fuzzDecoders } from './fuzz-decoders.ts'

const decoders = suite('fuzz/decoders')

decoders('a broken structure is refused, without another error and with little memory', () => {
  assert.equal(fuzzDecoders({ requests: 5000, seed: 1 }).failures, [])
})

decoders.run()

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fuzzStore } from './fuzz-store.ts'

const stores = suite('fuzz/stores')

stores('a damaged store is refused or read right, and never with an error of another kind', () => {
  assert.equal(fuzzStore({ requests: 250, seed: 1 }).failures, [])
})

stores.run()

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  COMPRESSIONS,
  DURABILITIES,
  STATE_BYTES,
  STATE_DOMAIN,
  STATE_LAYOUT,
  stateBytes,
  stateHashOf,
  type StreamState,
} from '../../../src/shared/format/stream-state.ts'
import { Compression, Durability } from '../../../src/shared/schemas/scalars.ts'
import { golden } from '../../support/format.ts'
import { STATE } from '../../support/state-samples.ts'

const state = suite('shared/format/stream-state')

state('the golden bytes are the state that the stream was created with', () => {
  assert.is(golden('stream-state').toString('hex'), stateBytes(STATE).toString('hex'))
  assert.is(golden('stream-state').length, STATE_BYTES)
  assert.is(golden('stream-state').latin1Slice(0, STATE_LAYOUT.createdAt[0]), STATE_DOMAIN)
})

state('every part of a state changes its hash', () => {
  const { config } = STATE
  const { retention } = config
  const states: StreamState[] = [
    STATE,
    { ...STATE, createdAt: 1 },
    { ...STATE, firstOffset: 1 },
    { ...STATE, closed: true },
    { ...STATE, config: { ...config, durability: 'relaxed' } },
    { ...STATE, config: { ...config, compression: 'lz4' } },
    { ...STATE, config: { ...config, maxSegmentBytes: 1 } },
    { ...STATE, config: { ...config, checkpointEvery: 1 } },
    { ...STATE, config: { ...config, retention: { ...retention, maxAgeSeconds: 1 } } },
    { ...STATE, config: { ...config, retention: { ...retention, maxBytes: 1 } } },
    { ...STATE, config: { ...config, retention: { ...retention, maxRecords: 1 } } },
  ]
  assert.is(new Set(states.map(stateHashOf)).size, states.length)
  assert.is(Object.keys(STATE_LAYOUT).length, states.length) // the domain for the first of them
})

state('every name that the API takes has its number', () => {
  assert.equal(Durability.options, [...DURABILITIES])
  assert.equal(Compression.options, [...COMPRESSIONS])
})

state('how a configuration is written does not change its hash', () => {
  const { config } = STATE
  const { durability, retention, ...rest } = config
  const turned = { ...STATE, config: { retention, ...rest, durability } }
  assert.is(stateHashOf(turned), stateHashOf(STATE))
})

state.run()

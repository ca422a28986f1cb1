import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseConfig } from '../../src/main/config.ts'
import { streamDefaults } from '../../src/main/stream-defaults.ts'
import { STREAM_CONFIG_DEFAULT } from '../../src/shared/limits.ts'

const defaults = suite('main/stream-defaults')

function defaultsOf(flags: Record<string, string>) {
  return streamDefaults(parseConfig({ flags, env: {} }))
}

defaults('a service that says nothing has the defaults of the engine', () => {
  assert.equal(defaultsOf({}), STREAM_CONFIG_DEFAULT)
})

defaults('every option of a stream can be set for the service', () => {
  const config = defaultsOf({
    durability: 'immediate',
    compression: 'lz4',
    maxSegmentBytes: '1MiB',
    checkpointEvery: '10',
    retentionMaxAgeSeconds: '60',
    retentionMaxBytes: '1GiB',
    retentionMaxRecords: '1000',
  })
  assert.equal(config, {
    durability: 'immediate',
    compression: 'lz4',
    maxSegmentBytes: 2 ** 20,
    checkpointEvery: 10,
    retention: { maxAgeSeconds: 60, maxBytes: 2 ** 30, maxRecords: 1000 },
  })
})

defaults('a bound of 0 keeps everything', () => {
  const config = defaultsOf({ retentionMaxAgeSeconds: '0', retentionMaxRecords: '5' })
  assert.equal(config.retention, { maxRecords: 5 })
})

defaults.run()

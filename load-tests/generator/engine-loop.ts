import { hash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import pino from 'pino'
import { parseConfig } from '../../src/main/config.ts'
import { storeOptions } from '../../src/main/service.ts'
import { ShardedStore } from '../../src/main/shards/sharded-store.ts'
import { CHAIN_PREFIX_BYTES } from '../../src/shared/format/chain.ts'
import { RECORD_HEADER_BYTES, RECORD_OVERHEAD_BYTES } from '../../src/shared/format/record.ts'
import { batchOf } from '../contenders/batch.ts'
import type { EngineJob, Measurement } from './jobs.ts'
import { Meter } from './meter.ts'

const BLOCK_BYTES = 1024 * 1024
const HASH_BYTES = 32
/** Records of the floor between two looks at the clock. */
const FLOOR_RECORDS = 1000

export function runEngineLoop(job: EngineJob): Measurement | Promise<Measurement> {
  return job.what === 'floor' ? runFloor(job) : runStore(job)
}

/** Appends of batches to a stream each, without HTTP: front end, shard and flusher alone. */
async function runStore(job: EngineJob): Promise<Measurement> {
  mkdirSync(job.directory)
  const config = parseConfig({ flags: { data: job.directory }, env: {} })
  const store = await ShardedStore.open(storeOptions(config, pino({ level: 'silent' })))
  const batch = batchOf(job.records, job.recordBytes)
  const meter = new Meter(job.timing)
  const appendOn = async (stream: string) => {
    for (let nowMs = performance.now(); !meter.isOver(nowMs); ) {
      const sentMs = nowMs
      // Given away with the request, so each needs its own.
      await store.append({ stream, batch: Buffer.from(batch), count: job.records })
      nowMs = performance.now()
      meter.record(sentMs, nowMs, job.records)
    }
  }
  try {
    const streams = Array.from({ length: job.inFlight }, (_, index) => `bench-${index}`)
    await Promise.all(streams.map(appendOn))
    return meter.result()
  } finally {
    await store.close()
  }
}

/** What no engine of this format can leave out: of each record one copy, its hash, its checksum. */
function runFloor(job: EngineJob): Measurement {
  const meter = new Meter(job.timing)
  const body = Buffer.alloc(job.recordBytes, 'x')
  const input = Buffer.alloc(CHAIN_PREFIX_BYTES + job.recordBytes, 'x')
  const hashed = new Uint8Array(input.buffer, input.byteOffset, input.length)
  const block = Buffer.from(new SharedArrayBuffer(BLOCK_BYTES))
  const recordBytes = job.recordBytes + RECORD_OVERHEAD_BYTES
  let at = 0
  let previous = '\0'.repeat(HASH_BYTES)
  for (let nowMs = performance.now(); !meter.isOver(nowMs); ) {
    const sentMs = nowMs
    for (let record = 0; record < FLOOR_RECORDS; record += 1) {
      if (at + recordBytes > BLOCK_BYTES) at = 0
      body.copy(block, at + RECORD_HEADER_BYTES)
      input.latin1Write(previous, 0, HASH_BYTES)
      previous = hash('sha256', hashed, 'latin1')
      block.latin1Write(previous, at, HASH_BYTES)
      block.writeUInt32LE(crc32(body), at + HASH_BYTES)
      at += recordBytes
    }
    nowMs = performance.now()
    meter.record(sentMs, nowMs, FLOOR_RECORDS)
  }
  return meter.result()
}

import { closeSync, fdatasyncSync, fsyncSync, openSync, writeSync } from 'node:fs'
import type { DiskJob, Measurement } from './jobs.ts'
import { Meter } from './meter.ts'

const FILE_BYTES = 64 * 1024 * 1024
const FILL_BYTES = 1024 * 1024

/** What one write and one sync cost with nothing around them: blocking calls, one at a time. */
export function runDiskLoop(job: DiskJob): Measurement {
  const file = openSync(job.path, 'w')
  try {
    if (!job.grows) preallocate(file)
    const bytes = Buffer.alloc(job.bytes, 0x5a)
    const meter = new Meter(job.timing)
    let position = 0
    let nowMs = performance.now()
    while (!meter.isOver(nowMs)) {
      const sentMs = nowMs
      writeSync(file, bytes, 0, job.bytes, position)
      fdatasyncSync(file)
      nowMs = performance.now()
      meter.record(sentMs, nowMs, 1)
      position += job.bytes
      if (!job.grows) position %= FILE_BYTES
    }
    return meter.result()
  } finally {
    closeSync(file)
  }
}

/** Written, not only reserved: the first write to a reserved extent costs a metadata commit. */
function preallocate(file: number): void {
  const zeros = Buffer.alloc(FILL_BYTES)
  for (let at = 0; at < FILE_BYTES; at += FILL_BYTES) writeSync(file, zeros, 0, FILL_BYTES, at)
  fsyncSync(file)
}

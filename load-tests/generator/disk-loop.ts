import { closeSync, constants, fdatasyncSync, fsyncSync, openSync, writeSync } from 'node:fs'
import type { DiskJob, Measurement } from './jobs.ts'
import { Meter } from './meter.ts'

const FILE_BYTES = 64 * 1024 * 1024
const FILL_BYTES = 1024 * 1024
const WASM_PAGE_BYTES = 64 * 1024

/** What one durable write costs with nothing around it: blocking calls, one at a time. */
export function runDiskLoop(job: DiskJob): Measurement {
  if (!job.grows) preallocate(job.path)
  const { O_WRONLY, O_CREAT, O_DIRECT, O_DSYNC } = constants
  const sync = job.sync === 'O_DSYNC' ? O_DSYNC : 0
  const file = openSync(job.path, O_WRONLY | O_CREAT | sync | (job.isDirect ? O_DIRECT : 0), 0o600)
  try {
    const bytes = pageAligned(job.bytes).fill(0x5a)
    const meter = new Meter(job.timing)
    let position = 0
    let nowMs = performance.now()
    while (!meter.isOver(nowMs)) {
      const sentMs = nowMs
      const written = writeSync(file, bytes, 0, job.bytes, position)
      if (written !== job.bytes) throw new Error(`${written} of ${job.bytes} bytes were written`)
      if (job.sync === 'fdatasync') fdatasyncSync(file)
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
function preallocate(path: string): void {
  const file = openSync(path, 'w')
  const zeros = Buffer.alloc(FILL_BYTES)
  for (let at = 0; at < FILE_BYTES; at += FILL_BYTES) writeSync(file, zeros, 0, FILL_BYTES, at)
  fsyncSync(file)
  closeSync(file)
}

/** The memory of WebAssembly begins on a page, as `O_DIRECT` needs it. */
function pageAligned(bytes: number): Buffer {
  const pages = Math.ceil(bytes / WASM_PAGE_BYTES)
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  return Buffer.from(memory.buffer, 0, bytes)
}

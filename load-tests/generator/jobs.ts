import type { SystemCalls } from '../instruments/system-calls.ts'
import type { ObservedProcess, Usage } from '../instruments/thread-usage.ts'

// Every message between the bench and a generator process. Sent with 'advanced' serialization, so
// that bytes stay bytes.

export type Timing = {
  readonly warmupMs: number
  readonly measureMs: number
  /** The run ends early past this, so that a fast contender cannot fill the disk. */
  readonly recordsMax: number
  /** Process whose use of the processor is measured beside. */
  readonly observed?: ObservedProcess
}

/** Every connection sends its request, waits for the whole answer, and sends it again. */
export type ClosedLoopJob = {
  readonly kind: 'closed-loop'
  readonly protocol: 'http' | 'resp'
  readonly port: number
  /** One a connection, complete with its header section. */
  readonly requests: readonly Uint8Array[]
  /** Answers that complete one request: above 1 it is a pipeline. */
  readonly repliesPerRequest: number
  readonly recordsPerRequest: number
  /** What a sample of the answers must be an append's answer to. */
  readonly checks: 'status' | 'append'
  readonly timing: Timing
}

/** Appends at a fixed rate, whatever the answers take. */
export type OpenLoopJob = {
  readonly kind: 'open-loop'
  readonly port: number
  /** One a connection, complete with its header section. */
  readonly requests: readonly Uint8Array[]
  readonly requestsPerSecond: number
  readonly timing: Timing
}

/** How a write to the disk is made durable: by a second call, or by the write itself. */
export type DiskSync = 'fdatasync' | 'O_DSYNC'

/** Durable writes of `bytes` at a time into a preallocated file, or a growing one. */
export type DiskJob = {
  readonly kind: 'disk'
  readonly path: string
  readonly bytes: number
  readonly sync: DiskSync
  /** Past the page cache (`O_DIRECT`). */
  readonly isDirect: boolean
  readonly grows: boolean
  readonly timing: Timing
}

/** One connection reads the stream from its start, page after page, again and again. */
export type ReadJob = {
  readonly kind: 'read'
  readonly port: number
  readonly stream: string
  readonly format: 'batch' | 'json'
  readonly recordBytes: number
  readonly timing: Timing
}

/** Paced appends to one stream, and the time until each subscriber has each record. */
export type TailJob = {
  readonly kind: 'tail'
  readonly port: number
  readonly stream: string
  readonly subscribers: number
  readonly appendsPerSecond: number
  readonly recordBytes: number
  readonly timing: Timing
}

/** Append sessions, each with so many appends of one record in flight. */
export type SessionJob = {
  readonly kind: 'session'
  readonly port: number
  /** One a session. */
  readonly streams: readonly string[]
  readonly format: 'binary' | 'json'
  readonly inFlight: number
  readonly recordBytes: number
  readonly timing: Timing
}

export type Job = ClosedLoopJob | DiskJob | EngineJob | OpenLoopJob | ReadJob | SessionJob | TailJob

/** The store without HTTP, in the generator's own process; or the least that it must do. */
export type EngineJob = {
  readonly kind: 'engine'
  /** `floor`: hash, checksum and copy of each record, in one thread, nothing durable. */
  readonly what: 'store' | 'floor'
  readonly directory: string
  readonly records: number
  readonly recordBytes: number
  /** Appends on their way at once. */
  readonly inFlight: number
  readonly timing: Timing
}

export type Measurement = {
  readonly recordsPerSecond: number
  /** Of one request, page, write or delivery. */
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly p999: number }
  /** Processor time of the generator over the measured time; near 1 it is what limited the run. */
  readonly generatorLoad: number
  /** Of the observed process over one request; absent where there is no /proc. */
  readonly usagePerRequest?: Usage
  /** Of the same, from a load of its own; absent unless they were asked for. */
  readonly systemCallsPerRequest?: SystemCalls
  /** Requests answered on each connection, warm-up included; empty where there are none. */
  readonly acknowledged: readonly number[]
}

export type JobAnswer =
  | { readonly kind: 'done'; readonly measurement: Measurement }
  | { readonly kind: 'failed'; readonly reason: string }

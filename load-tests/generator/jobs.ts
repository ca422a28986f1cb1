// Every message between the bench and a generator process. Sent with 'advanced' serialization, so
// that bytes stay bytes.

export type Timing = {
  readonly warmupMs: number
  readonly measureMs: number
  /** The run ends early past this, so that a fast contender cannot fill the disk. */
  readonly recordsMax: number
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

/** `pwrite` and `fdatasync` of `bytes` at a time into a preallocated file, or a growing one. */
export type DiskJob = {
  readonly kind: 'disk'
  readonly path: string
  readonly bytes: number
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

export type Job = ClosedLoopJob | DiskJob | ReadJob | SessionJob | TailJob

export type Measurement = {
  readonly recordsPerSecond: number
  /** Of one request, page, write or delivery. */
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly p999: number }
  /** Processor time of the generator over the measured time; near 1 it is what limited the run. */
  readonly generatorLoad: number
  /** Requests answered on each connection, warm-up included; empty where there are none. */
  readonly acknowledged: readonly number[]
}

export type JobAnswer =
  | { readonly kind: 'done'; readonly measurement: Measurement }
  | { readonly kind: 'failed'; readonly reason: string }

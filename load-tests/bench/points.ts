import type { DiskSync } from '../generator/jobs.ts'

// What is measured, in the order of the table. A row's name is what `--only` selects by.

export const RECORD_BYTES = 128
export const BATCH_RECORDS = 100
const PIPELINE_REQUESTS = 16

export type Load =
  | {
      readonly kind: 'disk'
      readonly bytes: number
      readonly sync?: DiskSync
      readonly isDirect?: true
    }
  | { readonly kind: 'engine'; readonly what: 'store' | 'floor' }
  | { readonly kind: 'bare' }
  | { readonly kind: 'redis'; readonly pipeline: number }
  | {
      readonly kind: 'append'
      readonly format: 'octet-stream' | 'batch' | 'ndjson'
      readonly streams: 'one' | 'one a connection'
      /** Of `varve serve`. */
      readonly flags?: readonly string[]
    }
  | { readonly kind: 'open-loop'; readonly shareOfPeak: number }
  | {
      readonly kind: 'session'
      readonly format: 'binary' | 'json'
      readonly inFlight: number
    }
  | { readonly kind: 'read'; readonly format: 'batch' | 'json' }
  | { readonly kind: 'tail'; readonly subscribers: number }

export type Row = {
  readonly name: string
  readonly title: string
  readonly connections: readonly number[]
  readonly load: Load
  /** Payload of one thing counted: a record, or for the disk a write. */
  readonly payloadBytes: number
  /** Rows that the ratios are taken to, at as many connections, else at their most. */
  readonly floor?: string
  readonly peer?: string
  /** Row whose p99 this row's is held against. */
  readonly latencyFloor?: string
  /** Throughput over connections makes sense, so it is in the plot. */
  readonly isPlotted: boolean
}

export type Point = { readonly row: Row; readonly connections: number }

const SINGLES = { connections: [1, 16, 64], payloadBytes: RECORD_BYTES, isPlotted: true } as const
const BATCHES = { connections: [1, 16, 64], payloadBytes: RECORD_BYTES, isPlotted: true } as const
const OTHERS = { connections: [1], payloadBytes: RECORD_BYTES, isPlotted: false } as const

// biome-ignore format: rows are read as a table
export const ROWS: readonly Row[] = [
  { ...OTHERS, name: 'disk-4k', title: 'pwrite + fdatasync, 4 KiB',
    load: { kind: 'disk', bytes: 4096 }, payloadBytes: 4096 },
  { ...OTHERS, name: 'disk-64k', title: 'pwrite + fdatasync, 64 KiB',
    load: { kind: 'disk', bytes: 65536 }, payloadBytes: 65536 },
  { ...OTHERS, name: 'disk-4k-dsync', title: 'pwrite with O_DSYNC, 4 KiB',
    load: { kind: 'disk', bytes: 4096, sync: 'O_DSYNC' }, payloadBytes: 4096, floor: 'disk-4k' },
  { ...OTHERS, name: 'disk-64k-dsync', title: 'pwrite with O_DSYNC, 64 KiB',
    load: { kind: 'disk', bytes: 65536, sync: 'O_DSYNC' }, payloadBytes: 65536,
    floor: 'disk-64k' },
  { ...OTHERS, name: 'disk-4k-direct', title: 'O_DIRECT, pwrite + fdatasync, 4 KiB',
    load: { kind: 'disk', bytes: 4096, isDirect: true }, payloadBytes: 4096, floor: 'disk-4k' },
  { ...OTHERS, name: 'disk-64k-direct', title: 'O_DIRECT, pwrite + fdatasync, 64 KiB',
    load: { kind: 'disk', bytes: 65536, isDirect: true }, payloadBytes: 65536,
    floor: 'disk-64k' },
  { ...OTHERS, name: 'disk-4k-direct-dsync', title: 'O_DIRECT, pwrite with O_DSYNC, 4 KiB',
    load: { kind: 'disk', bytes: 4096, sync: 'O_DSYNC', isDirect: true }, payloadBytes: 4096,
    floor: 'disk-4k' },
  { ...OTHERS, name: 'disk-64k-direct-dsync', title: 'O_DIRECT, pwrite with O_DSYNC, 64 KiB',
    load: { kind: 'disk', bytes: 65536, sync: 'O_DSYNC', isDirect: true }, payloadBytes: 65536,
    floor: 'disk-64k' },
  { ...OTHERS, name: 'engine-floor', title: 'hash, CRC and copy of a record, one thread',
    load: { kind: 'engine', what: 'floor' } },
  { ...OTHERS, name: 'engine', title: `Varve's store alone, batches of ${BATCH_RECORDS}`,
    connections: [16], load: { kind: 'engine', what: 'store' }, floor: 'engine-floor' },
  { ...SINGLES, name: 'bare', title: 'bare Fastify POST', load: { kind: 'bare' } },
  { ...SINGLES, name: 'redis', title: 'Redis XADD, appendfsync always',
    load: { kind: 'redis', pipeline: 1 }, floor: 'bare' },
  { ...SINGLES, name: 'varve', title: 'Varve append, a stream a connection',
    load: { kind: 'append', format: 'octet-stream', streams: 'one a connection' },
    floor: 'bare', peer: 'redis' },
  { ...SINGLES, name: 'varve-open-loop', title: 'Varve append, open loop, half of its peak',
    connections: [64], load: { kind: 'open-loop', shareOfPeak: 0.5 }, isPlotted: false },
  { ...SINGLES, name: 'varve-no-write-back', title: 'Varve append, no write-back meanwhile',
    connections: [64], isPlotted: false, floor: 'bare',
    load: { kind: 'append', format: 'octet-stream', streams: 'one a connection',
      flags: ['--checkpoint-interval-ms', '86400000', '--journal-bytes-max', '16GiB'] } },
  { ...SINGLES, name: 'varve-write-back', title: 'Varve append, write-back all the time',
    connections: [64], isPlotted: false, floor: 'bare', latencyFloor: 'varve-no-write-back',
    load: { kind: 'append', format: 'octet-stream', streams: 'one a connection',
      flags: ['--checkpoint-interval-ms', '100'] } },
  { ...SINGLES, name: 'varve-one-stream', title: 'Varve append, all on one stream',
    load: { kind: 'append', format: 'octet-stream', streams: 'one' },
    floor: 'bare', peer: 'redis' },
  { ...SINGLES, name: 'varve-direct', title: 'Varve append, --direct-io', isPlotted: false,
    load: { kind: 'append', format: 'octet-stream', streams: 'one a connection', flags: ['--direct-io'] },
    floor: 'bare', peer: 'varve' },
  { ...BATCHES, name: 'redis-pipeline', title: `Redis XADD, pipeline of ${PIPELINE_REQUESTS}`,
    connections: [1, 64], load: { kind: 'redis', pipeline: PIPELINE_REQUESTS } },
  { ...BATCHES, name: 'varve-batch', title: `Varve append, ${BATCH_RECORDS} records, batch`,
    load: { kind: 'append', format: 'batch', streams: 'one a connection' },
    peer: 'redis-pipeline' },
  { ...BATCHES, name: 'varve-direct-batch', title: 'Varve append, batch, --direct-io',
    load: { kind: 'append', format: 'batch', streams: 'one a connection', flags: ['--direct-io'] },
    peer: 'varve-batch', isPlotted: false },
  { ...BATCHES, name: 'varve-ndjson', title: `Varve append, ${BATCH_RECORDS} records, NDJSON`,
    load: { kind: 'append', format: 'ndjson', streams: 'one a connection' },
    peer: 'redis-pipeline' },
  { ...OTHERS, name: 'varve-session-1', title: 'Varve session, binary, 1 in flight',
    load: { kind: 'session', format: 'binary', inFlight: 1 }, peer: 'redis' },
  { ...OTHERS, name: 'varve-session-16', title: 'Varve session, binary, 16 in flight',
    connections: [1, 64], load: { kind: 'session', format: 'binary', inFlight: 16 },
    peer: 'redis-pipeline' },
  { ...OTHERS, name: 'varve-session-64', title: 'Varve session, binary, 64 in flight',
    load: { kind: 'session', format: 'binary', inFlight: 64 }, peer: 'redis-pipeline' },
  { ...OTHERS, name: 'varve-session-json-1', title: 'Varve session, JSON, 1 in flight',
    load: { kind: 'session', format: 'json', inFlight: 1 }, peer: 'redis' },
  { ...OTHERS, name: 'varve-session-json-16', title: 'Varve session, JSON, 16 in flight',
    connections: [1, 64], load: { kind: 'session', format: 'json', inFlight: 16 },
    peer: 'redis-pipeline' },
  { ...OTHERS, name: 'varve-session-json-64', title: 'Varve session, JSON, 64 in flight',
    load: { kind: 'session', format: 'json', inFlight: 64 }, peer: 'redis-pipeline' },
  { ...OTHERS, name: 'varve-read-batch', title: 'Varve catch-up read, batch',
    load: { kind: 'read', format: 'batch' } },
  { ...OTHERS, name: 'varve-read-json', title: 'Varve catch-up read, JSON',
    load: { kind: 'read', format: 'json' } },
  { ...OTHERS, name: 'varve-tail', title: 'Varve tail, 1 subscriber',
    load: { kind: 'tail', subscribers: 1 } },
  { ...OTHERS, name: 'varve-tail-100', title: 'Varve tail, 100 subscribers',
    connections: [100], load: { kind: 'tail', subscribers: 100 } },
]

/** The points of the rows whose names are in `only`, `*` at the end standing for any rest. */
export function selectPoints(only: readonly string[]): Point[] {
  const isChosen = ({ name }: Row) =>
    only.length === 0 ||
    only.some(wanted =>
      wanted.endsWith('*') ? name.startsWith(wanted.slice(0, -1)) : name === wanted,
    )
  return ROWS.filter(isChosen).flatMap(row =>
    row.connections.map(connections => ({ row, connections })),
  )
}

import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BATCH_RECORDS, type Load, RECORD_BYTES } from '../bench/points.ts'
import { countSystemCalls } from '../instruments/system-calls.ts'
import type { Measurement, Timing } from '../generator/jobs.ts'
import { startService } from '../service.ts'
import { batchOf } from './batch.ts'
import type { Context } from './context.ts'
import { httpPost } from './requests.ts'

const TAIL_APPENDS_PER_SECOND = 1000
/** What a catch-up read finds: well past what the server keeps in memory of a stream's end. */
const STORED_BATCHES = 500
const STORED_BATCH_RECORDS = 1000

/** pino's levels from error on. */
const LOGGED_ERROR = /"level":[56]0/
const LOGGED_ERRORS_MAX = 5

type Append = Extract<Load, { kind: 'append' }>
type Session = Extract<Load, { kind: 'session' }>

/** Closed-loop appends, then every stream is asked whether it holds what was acknowledged. */
export function measureAppends(
  context: Context,
  connections: number,
  { format, streams, flags = [] }: Append,
): Promise<Measurement> {
  const { processes } = context
  return withVarve(context, flags, async (port, timing, child) => {
    const names = Array.from({ length: connections }, (_, index) =>
      streams === 'one' ? 'bench' : `bench-${index}`,
    )
    await createStreams(port, names)
    const { contentType, body, records } = appendBody(format)
    const load = (during: Timing) =>
      processes.generate({
        kind: 'closed-loop',
        protocol: 'http',
        port,
        requests: names.map(name => httpPost(port, recordsPath(name), contentType, body)),
        repliesPerRequest: 1,
        recordsPerRequest: records,
        checks: 'append',
        timing: during,
      })
    const measurement = await load(timing)
    await checkStreams(port, names, measurement.acknowledged, records)
    if (context.countsSystemCalls !== true) return measurement
    const place = { pid: child.pid as number, directory: context.directory }
    const systemCallsPerRequest = await countSystemCalls(processes, place, async () =>
      sum((await load(context.timing)).acknowledged),
    )
    return { ...measurement, systemCallsPerRequest }
  })
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0)
}

/** Finds the peak with a closed loop, then keeps to a share of it in an open one. */
export function measureOpenLoop(
  context: Context,
  connections: number,
  shareOfPeak: number,
): Promise<Measurement> {
  const { processes } = context
  return withVarve(context, [], async (port, timing) => {
    const names = Array.from({ length: connections }, (_, index) => `bench-${index}`)
    await createStreams(port, names)
    const { contentType, body } = appendBody('octet-stream')
    const requests = names.map(name => httpPost(port, recordsPath(name), contentType, body))
    const peak = await processes.generate({
      kind: 'closed-loop',
      protocol: 'http',
      port,
      requests,
      repliesPerRequest: 1,
      recordsPerRequest: 1,
      checks: 'append',
      timing,
    })
    const requestsPerSecond = peak.recordsPerSecond * shareOfPeak
    const job = { kind: 'open-loop', port, requests, requestsPerSecond, timing } as const
    const measurement = await processes.generate(job)
    const acknowledged = names.map((_, index) => sumAt(index, peak, measurement))
    await checkStreams(port, names, acknowledged, 1)
    return { ...measurement, acknowledged }
  })
}

function sumAt(index: number, ...measurements: readonly Measurement[]): number {
  return measurements.reduce((sum, { acknowledged }) => sum + (acknowledged[index] ?? 0), 0)
}

/** Appends in flight on sessions, a stream each, then as `measureAppends`. */
export function measureSessions(
  context: Context,
  connections: number,
  { format, inFlight }: Session,
): Promise<Measurement> {
  const { processes } = context
  return withVarve(context, [], async (port, timing) => {
    const streams = Array.from({ length: connections }, (_, index) => `bench-${index}`)
    await createStreams(port, streams)
    const measurement = await processes.generate({
      kind: 'session',
      port,
      streams,
      format,
      inFlight,
      recordBytes: RECORD_BYTES,
      timing,
    })
    await checkStreams(port, streams, measurement.acknowledged, 1)
    return measurement
  })
}

/** The server starts anew between the appends and the reads. */
export async function measureRead(
  context: Context,
  format: 'batch' | 'json',
): Promise<Measurement> {
  const { processes } = context
  await withVarve(context, [], port => store(port))
  return withVarve(context, [], (port, timing) =>
    processes.generate({
      kind: 'read',
      port,
      stream: 'bench',
      format,
      recordBytes: RECORD_BYTES,
      timing,
    }),
  )
}

export function measureTail(context: Context, subscribers: number): Promise<Measurement> {
  const { processes } = context
  return withVarve(context, [], async (port, timing) => {
    await createStreams(port, ['bench'])
    const measurement = await processes.generate({
      kind: 'tail',
      port,
      stream: 'bench',
      subscribers,
      appendsPerSecond: TAIL_APPENDS_PER_SECOND,
      recordBytes: RECORD_BYTES,
      timing,
    })
    await checkStreams(port, ['bench'], measurement.acknowledged, 1)
    return measurement
  })
}

/** Runs `use` with a server of its own, started with `flags`. */
export async function withVarve<T>(
  context: Context,
  flags: readonly string[],
  use: (port: number, timing: Timing, child: ChildProcess) => Promise<T>,
): Promise<T> {
  const { processes, directory, shards } = context
  const log = join(directory, 'varve.log')
  const threadRoles = join(directory, 'threads')
  const own = shards === undefined ? [] : ['--shards', String(shards)]
  const place = { processes, data: join(directory, 'varve'), log, threadRoles }
  const { child, port } = await startService({ ...place, flags: [...own, ...flags] })
  const observed = { pid: child.pid as number, rolesPath: threadRoles }
  try {
    return await use(port, { ...context.timing, observed }, child)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error([reason, ...readErrors(log)].join('\n'), { cause: error })
  } finally {
    await processes.end(child)
  }
}

/** The last errors that the server logged: its directory, and so its log, is about to go. */
function readErrors(log: string): string[] {
  const lines = readFileSync(log, 'utf8').split('\n')
  return lines.filter(line => LOGGED_ERROR.test(line)).slice(-LOGGED_ERRORS_MAX)
}

/** A request's body of one record, or of a batch. */
export function appendBody(format: Append['format']): {
  contentType: string
  body: Buffer
  records: number
} {
  switch (format) {
    case 'octet-stream':
      return {
        contentType: 'application/octet-stream',
        body: Buffer.alloc(RECORD_BYTES, 'x'),
        records: 1,
      }
    case 'batch':
      return {
        contentType: 'application/vnd.varve.batch',
        body: batchOf(BATCH_RECORDS, RECORD_BYTES),
        records: BATCH_RECORDS,
      }
    case 'ndjson': {
      const line = `${JSON.stringify('x'.repeat(RECORD_BYTES - 2))}\n`
      return {
        contentType: 'application/x-ndjson',
        body: Buffer.from(line.repeat(BATCH_RECORDS)),
        records: BATCH_RECORDS,
      }
    }
  }
}

async function store(port: number): Promise<void> {
  await createStreams(port, ['bench'])
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.varve.batch' },
    body: new Uint8Array(batchOf(STORED_BATCH_RECORDS, RECORD_BYTES)),
  }
  for (let stored = 0; stored < STORED_BATCHES; stored += 1) {
    await succeed(await fetch(urlOf(port, recordsPath('bench')), init))
  }
}

export async function createStreams(
  port: number,
  names: readonly string[],
  config: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const init = {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ durability: 'group', ...config }),
  }
  for (const name of new Set(names)) {
    await succeed(await fetch(urlOf(port, `/v1/streams/${name}`), init))
  }
}

/**
 * Offsets are dense when a stream's tail is the number of records that were acknowledged, with
 * those that it had `before`.
 */
export async function checkStreams(
  port: number,
  names: readonly string[],
  acknowledged: readonly number[],
  recordsPerRequest: number,
  before = 0,
): Promise<void> {
  const expected = new Map<string, number>()
  for (const [index, name] of names.entries()) {
    const records = (acknowledged[index] ?? 0) * recordsPerRequest
    expected.set(name, (expected.get(name) ?? before) + records)
  }
  for (const [name, records] of expected) {
    const response = await succeed(await fetch(urlOf(port, `/v1/streams/${name}`)))
    const { nextOffset } = (await response.json()) as { nextOffset: number }
    if (nextOffset !== records) {
      throw new Error(`${name} ends at ${nextOffset}, ${records} records were acknowledged`)
    }
  }
}

export async function succeed(response: Response): Promise<Response> {
  if (response.ok) return response
  throw new Error(`answered ${response.status} ${await response.text()}`)
}

export function recordsPath(stream: string): string {
  return `/v1/streams/${stream}/records`
}

export function urlOf(port: number, path: string): string {
  return `http://127.0.0.1:${port}${path}`
}

/** The counters of the shards, added up, by name. */
export async function scrape(port: number): Promise<ReadonlyMap<string, number>> {
  const text = await (await succeed(await fetch(urlOf(port, '/metrics')))).text()
  const counters = new Map<string, number>()
  for (const [, name = '', value] of text.matchAll(/^(varve_\w+)\{shard="\d+"\} (\S+)$/gm)) {
    counters.set(name, (counters.get(name) ?? 0) + Number(value))
  }
  return counters
}

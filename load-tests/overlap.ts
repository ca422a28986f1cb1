import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BATCH_RECORDS } from './bench/points.ts'
import { Processes } from './bench/processes.ts'
import type { Context } from './contenders/context.ts'
import { httpPost } from './contenders/requests.ts'
import { appendBody, recordsPath, scrape, withVarve } from './contenders/varve.ts'

// `node dist/load-tests/overlap.js`: how much of the encoding runs beside a flush, by the service's
// own counters. A pipeline of one stage would show 0 %.

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const CONNECTIONS = 16
const WARMUP_MS = 2000
const MEASURE_MS = 5000
const RECORDS_MAX = 10_000_000

async function main(): Promise<void> {
  const parent = join(ROOT, 'load-tests', 'scratch')
  mkdirSync(parent, { recursive: true })
  const directory = mkdtempSync(join(parent, 'overlap-'))
  const processes = new Processes()
  process.once('exit', () => {
    processes.killAll()
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  const timing = { warmupMs: WARMUP_MS, measureMs: MEASURE_MS, recordsMax: RECORDS_MAX }
  const context: Context = { processes, directory, timing, shards: 1 }
  await withVarve(context, [], port => measure(context, port))
}

async function measure({ processes, timing }: Context, port: number): Promise<void> {
  const { contentType, body, records } = appendBody('batch')
  const before = await scrape(port)
  const started = performance.now()
  const requests = Array.from({ length: CONNECTIONS }, (_, index) =>
    httpPost(port, recordsPath(`bench-${index}`), contentType, body),
  )
  const { recordsPerSecond } = await processes.generate({
    kind: 'closed-loop',
    protocol: 'http',
    port,
    requests,
    repliesPerRequest: 1,
    recordsPerRequest: records,
    checks: 'append',
    timing,
  })
  const wall = (performance.now() - started) / 1000
  const after = await scrape(port)
  const grown = (name: string) => (after.get(name) ?? 0) - (before.get(name) ?? 0)
  console.log(report(recordsPerSecond, wall, grown))
}

function report(rate: number, wall: number, grown: (name: string) => number): string {
  const encode = grown('varve_encode_seconds_total')
  const write = grown('varve_flush_write_seconds_total')
  const sync = grown('varve_flush_sync_seconds_total')
  const share = (part: number, whole: number) => `${((100 * part) / whole).toFixed(1)} %`
  const frames = grown('varve_encoded_frames_total')
  const overlapped = grown('varve_overlapped_frames_total')
  const seconds = (value: number) => `${value.toFixed(2)} s, ${share(value, wall)} of the wall time`
  return [
    `batches of ${BATCH_RECORDS}, ${CONNECTIONS} connections, ${Math.round(rate)} records/s`,
    `wall         ${wall.toFixed(2)} s, the start of the generator included`,
    `encode       ${seconds(encode)}`,
    `write        ${seconds(write)}`,
    `sync         ${seconds(sync)}`,
    `encoded beside a flush: ${share(overlapped, frames)} of ${frames} frames, ` +
      `${share(grown('varve_overlapped_seconds_total'), encode)} of the time`,
    `flushes      ${grown('varve_flushes_total')}`,
  ].join('\n')
}

await main()

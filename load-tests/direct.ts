import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { median, type Row, renderRows } from './bench/markdown.ts'
import { machineLines, openScratch, type Scratch } from './bench/run.ts'
import type { Context } from './contenders/context.ts'
import { measureDisk } from './contenders/floors.ts'
import { httpPost } from './contenders/requests.ts'
import { batchOf } from './contenders/batch.ts'
import { checkStreams, createStreams } from './contenders/varve.ts'
import { recordsPath, scrape, succeed, urlOf } from './contenders/varve.ts'
import type { Timing } from './generator/jobs.ts'
import { type Service, startService } from './service.ts'

// `npm run bench:direct`: large appends through the journal and straight to the segment, side by
// side. README.md says what the columns mean.

const KIB = 1024
const MB = 1e6
const SIZES_KIB = [16, 64, 128, 256, 512, 1024, 4096]
const CLIENTS = [1, 4]
const KINDS = ['record', 'batch'] as const
const BATCH_RECORD_BYTES = KIB
/** What `--direct-bytes` is in either way: never, and each of these appends. */
const DIRECT_BYTES = { journal: 0, direct: 4096 } as const
const JOURNAL_FILE_BYTES = 16 * KIB * KIB
/** Of one point's measured time, so that a fast disk is not filled. */
const POINT_BYTES_MAX = 1e9
/** A way is better when it gets so much more through in every round. */
const PAYS = 1.05

type Way = keyof typeof DIRECT_BYTES
type Load = { readonly kind: (typeof KINDS)[number]; readonly clients: number; bytes: number }
type Figures = { readonly rate: number; readonly p50: number }
type Result = Figures & { readonly written: number; readonly direct: number }
type Round = { readonly floor: Figures; readonly journal: Result; readonly direct: Result }

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '2' },
    warmup: { type: 'string', default: '0.5' },
    rounds: { type: 'string', default: '2' },
    sizes: { type: 'string', default: SIZES_KIB.join(',') },
  },
})
const ROUNDS = Number(values.rounds)

async function main(): Promise<void> {
  const scratch = openScratch('direct')
  const sizes = values.sizes.split(',').map(size => Number(size) * KIB)
  const loads = KINDS.flatMap(kind =>
    CLIENTS.flatMap(clients => sizes.map((bytes): Load => ({ kind, clients, bytes }))),
  )
  console.log(machineLines(scratch.directory))
  console.log(`method       ${ROUNDS} rounds of ${values.seconds} s, median\n`)
  const rounds = new Map<Load, Round[]>(loads.map(load => [load, []]))
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const load of loads) {
      const figures = await measureRound(scratch, load, round)
      rounds.get(load)?.push(figures)
      const { kind, clients, bytes } = load
      const { journal, direct } = figures
      const rates = `${journal.rate.toFixed(1)} and ${direct.rate.toFixed(1)} MB/s`
      console.error(`round ${round + 1}  ${kind}, ${clients}, ${bytes / KIB} KiB: ${rates}`)
    }
  }
  console.log(renderRows([...rounds].map(([load, all]) => rowOf(load, all))))
  console.log(`\n${verdict(rounds)}\n\nload afterwards: ${readFileSync('/proc/loadavg', 'utf8')}`)
}

/** Every second round starts with the other way. */
async function measureRound(scratch: Scratch, load: Load, round: number): Promise<Round> {
  const floor = await measureFloor(scratch, load)
  const measure = (way: Way) => measureWay(scratch, load, way)
  if (round % 2 === 0) {
    const journal = await measure('journal')
    return { floor, journal, direct: await measure('direct') }
  }
  const direct = await measure('direct')
  return { floor, journal: await measure('journal'), direct }
}

/** One thread, whatever the clients: what the file alone costs. */
async function measureFloor(scratch: Scratch, { bytes }: Load): Promise<Figures> {
  const directory = join(scratch.directory, 'floor')
  mkdirSync(directory)
  const context: Context = { ...scratch, directory, shards: 1, timing: timingOf(bytes) }
  const { recordsPerSecond, latencyMs } = await measureDisk(context, bytes, { grows: true })
  rmSync(directory, { recursive: true })
  return { rate: (recordsPerSecond * bytes) / MB, p50: latencyMs.p50 }
}

async function measureWay(scratch: Scratch, load: Load, way: Way): Promise<Result> {
  const directory = join(scratch.directory, 'varve')
  mkdirSync(directory)
  const names = Array.from({ length: load.clients }, (_, index) => `bench-${index}`)
  const start = (flags: readonly string[]) =>
    startService({
      processes: scratch.processes,
      data: join(directory, 'data'),
      log: join(directory, 'log'),
      flags: ['--shards', '1', ...flags],
    })
  // The directory of a stream is made by the journal checkpoint after its first append: a stop.
  const first = await start([])
  await createStreams(first.port, names)
  for (const name of names) await appendOne(first.port, name)
  await scratch.processes.end(first.child)

  const writtenBefore = bytesWritten()
  const service = await start(['--direct-bytes', String(DIRECT_BYTES[way])])
  const { counters, ...figures } = await run(scratch, service, load, names)
  await scratch.processes.end(service.child)
  const made = (counters.get('varve_journal_files_made_total') ?? 0) * JOURNAL_FILE_BYTES
  const written = (bytesWritten() - writtenBefore - made) / figures.payload
  const direct = (counters.get('varve_direct_appends_total') ?? 0) / figures.appends
  if (way === 'journal' ? direct !== 0 : direct === 0) {
    throw new Error(`${direct * 100} % of appends went straight to the segment with ${way}`)
  }
  rmSync(directory, { recursive: true })
  return { ...figures, written, direct }
}

async function run({ processes }: Scratch, { port }: Service, load: Load, names: string[]) {
  const { records, contentType, body } = requestOf(load)
  const { acknowledged, recordsPerSecond, latencyMs } = await processes.generate({
    kind: 'closed-loop',
    protocol: 'http',
    port,
    requests: names.map(name => httpPost(port, recordsPath(name), contentType, body)),
    repliesPerRequest: 1,
    recordsPerRequest: records,
    checks: 'append',
    timing: timingOf(load.bytes / records),
  })
  await checkStreams(port, names, acknowledged, records, 1)
  const counters = await scrape(port)
  const appends = acknowledged.reduce((total, count) => total + count, 0)
  const rate = (recordsPerSecond * load.bytes) / records / MB
  return { rate, p50: latencyMs.p50, appends, payload: appends * load.bytes, counters }
}

function requestOf({ kind, bytes }: Load) {
  if (kind === 'record') {
    return { records: 1, contentType: 'application/octet-stream', body: Buffer.alloc(bytes, 'x') }
  }
  const records = bytes / BATCH_RECORD_BYTES
  const contentType = 'application/vnd.varve.batch'
  return { records, contentType, body: batchOf(records, BATCH_RECORD_BYTES) }
}

function timingOf(recordBytes: number): Timing {
  return {
    warmupMs: Number(values.warmup) * 1000,
    measureMs: Number(values.seconds) * 1000,
    recordsMax: Math.ceil(POINT_BYTES_MAX / recordBytes),
  }
}

async function appendOne(port: number, name: string): Promise<void> {
  const headers = { 'content-type': 'text/plain' }
  await succeed(await fetch(urlOf(port, recordsPath(name)), { method: 'POST', headers, body: 'x' }))
}

/** By this process and the children that it has seen end: all of a service, its stop included. */
function bytesWritten(): number {
  return Number(/^write_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1])
}

function rowOf({ kind, clients, bytes }: Load, rounds: readonly Round[]): Row {
  const of = (pick: (round: Round) => number, digits: number) =>
    median(rounds.map(pick)).toFixed(digits)
  const ratios = rounds.map(ratioOf)
  return {
    appends: kind === 'record' ? 'one record' : 'batch of 1 KiB',
    clients,
    KiB: bytes / KIB,
    'floor MB/s': of(({ floor }) => floor.rate, 1),
    'journal MB/s': of(({ journal }) => journal.rate, 1),
    'direct MB/s': of(({ direct }) => direct.rate, 1),
    'direct / journal': `${Math.min(...ratios).toFixed(2)} … ${Math.max(...ratios).toFixed(2)}`,
    'floor p50 ms': of(({ floor }) => floor.p50, 2),
    'journal p50 ms': of(({ journal }) => journal.p50, 2),
    'direct p50 ms': of(({ direct }) => direct.p50, 2),
    'journal B/B': of(({ journal }) => journal.written, 2),
    'direct B/B': of(({ direct }) => direct.written, 2),
    'went direct %': of(({ direct }) => 100 * direct.direct, 1),
  }
}

function ratioOf({ journal, direct }: Round): number {
  return direct.rate / journal.rate
}

/** The least size from which on the direct way won every round, by kind and clients. */
function verdict(rounds: ReadonlyMap<Load, readonly Round[]>): string {
  const lines = KINDS.flatMap(kind =>
    CLIENTS.map(clients => {
      const own = [...rounds].filter(([load]) => load.kind === kind && load.clients === clients)
      const lost = own.findLastIndex(([, all]) => Math.min(...all.map(ratioOf)) < PAYS)
      const from = own[lost + 1]?.[0].bytes
      const pays = from === undefined ? 'never pays' : `pays from ${from / KIB} KiB`
      return `${kind}, ${clients} clients: going direct ${pays}`
    }),
  )
  return lines.join('\n')
}

await main()

import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { median, renderRows } from './bench/markdown.ts'
import { machineLines, openScratch, type Scratch } from './bench/run.ts'
import { batchOf } from './contenders/batch.ts'
import { recordsPath, scrape, succeed, urlOf } from './contenders/varve.ts'
import { startService } from './service.ts'

// `npm run bench:recovery`: how long a start takes after kill -9, by the size of the journal that
// it has to apply. Nothing is written back meanwhile, so all of it is.

const MB = 1e6
const BATCH_RECORDS = 100
const FLAGS = ['--checkpoint-interval-ms', '86400000', '--journal-bytes-max', '4GiB']

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1,10,50,100,200' },
    bytes: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '3' },
    shards: { type: 'string', default: '1' },
  },
})
const RECORD_BYTES = Number(values.bytes)

type Start = { readonly journal: number; readonly records: number; readonly startMs: number }

async function main(): Promise<void> {
  const scratch = openScratch('recovery')
  console.log(machineLines(scratch.directory))
  console.log(
    `method       records of ${RECORD_BYTES} B, ${values.shards} shards, kill -9, start\n`,
  )
  const rows = []
  for (const size of ['0', ...values.sizes.split(',')]) {
    const starts: Start[] = []
    for (let round = 0; round < Number(values.rounds); round += 1) {
      starts.push(await measure(scratch, `${size}-${round}`, Number(size) * MB))
    }
    const of = (pick: (start: Start) => number) => median(starts.map(pick))
    rows.push({
      'journal, MB': (of(({ journal }) => journal) / MB).toFixed(1),
      records: of(({ records }) => records),
      'ready after, ms': of(({ startMs }) => startMs),
      rounds: starts.map(({ startMs }) => startMs).join(' '),
    })
  }
  console.log(renderRows(rows))
}

async function measure(scratch: Scratch, name: string, bytes: number): Promise<Start> {
  const { processes, directory } = scratch
  const place = {
    processes,
    data: join(directory, name),
    log: join(directory, `${name}.log`),
    flags: ['--shards', values.shards, ...FLAGS],
  }
  const first = await startService(place)
  const { journal, records } = await fill(first.port, bytes)
  const killed = new Promise(resolve => {
    first.child.once('exit', resolve)
  })
  first.child.kill('SIGKILL')
  await killed
  const { child, port, startMs } = await startService(place)
  await expectAll(port, records)
  await processes.end(child)
  return { journal, records, startMs }
}

/** Appends until the journals hold `bytes`. */
async function fill(port: number, bytes: number): Promise<{ journal: number; records: number }> {
  const body = new Uint8Array(batchOf(BATCH_RECORDS, RECORD_BYTES))
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.varve.batch' },
    body,
  }
  for (let records = 0; ; records += BATCH_RECORDS) {
    // The counters are asked for once in a megabyte or so.
    const isLook = records % (BATCH_RECORDS * Math.ceil(MB / body.length)) === 0
    const journal = isLook ? ((await scrape(port)).get('varve_journal_bytes') ?? 0) : 0
    if (isLook && journal >= bytes) return { journal, records }
    const stream = `bench-${(records / BATCH_RECORDS) % 16}`
    await succeed(await fetch(urlOf(port, recordsPath(stream)), init))
  }
}

async function expectAll(port: number, records: number): Promise<void> {
  const answer = await succeed(await fetch(urlOf(port, '/v1/streams?limit=1000')))
  const { streams } = (await answer.json()) as { streams: { nextOffset: number }[] }
  const found = streams.reduce((sum, { nextOffset }) => sum + nextOffset, 0)
  if (found !== records) throw new Error(`${found} of ${records} records are there after the start`)
}

await main()

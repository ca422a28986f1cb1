import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Processes } from './bench/processes.ts'
import { startService } from './service.ts'

// What a verified read costs against its distance to the checkpoint that it is checked from: single
// records, by one client. It must grow with the distance, not with the stream.
//
//   npm run bench:verify

const RECORDS = 200_000
const BATCH = 1000
const READS = 30
const CHECKPOINT_EVERY = 10_000
/** Of the last checkpoints of the stream, so that the offsets are high. */
const CHECKPOINT_AT = 190_000
const DISTANCES = [1, 10, 100, 1000, 9999]
const GENESIS_AT = [1000, 10_000, 100_000]
/** A checkpoint and what follows it reach their segment meanwhile. */
const SETTLE_MS = 1000

async function fill(url: string): Promise<void> {
  await send(url, { method: 'PUT', body: JSON.stringify({ checkpointEvery: CHECKPOINT_EVERY }) })
  const lines = Array.from({ length: BATCH }, (_, at) => `{"n":${at},"text":"${'x'.repeat(110)}"}`)
  const body = lines.join('\n')
  for (let sent = 0; sent < RECORDS; sent += BATCH) {
    await send(`${url}/records`, { method: 'POST', body }, 'application/x-ndjson')
  }
}

async function send(url: string, request: RequestInit, type = 'application/json'): Promise<void> {
  const response = await fetch(url, { ...request, headers: { 'content-type': type } })
  await response.arrayBuffer()
  if (!response.ok) throw new Error(`${url} answered ${response.status}`)
}

/** Median milliseconds of a read. */
async function timeReads(url: string, offset: number, verify: string): Promise<string> {
  const times: number[] = []
  for (let read = 0; read < READS; read += 1) {
    const startedMs = performance.now()
    await send(`${url}/records/${offset}?verify=${verify}`, {})
    times.push(performance.now() - startedMs)
  }
  times.sort((left, right) => left - right)
  return (times[READS >> 1] ?? 0).toFixed(2)
}

async function printTable(url: string): Promise<void> {
  console.log('| offset | behind a checkpoint by | none, ms | links, ms | checkpoint, ms |')
  console.log('|---|---|---|---|---|')
  for (const distance of DISTANCES) {
    const offset = CHECKPOINT_AT + distance
    const cells = []
    for (const verify of ['none', 'links', 'checkpoint']) {
      cells.push(await timeReads(url, offset, verify))
    }
    console.log(`| ${offset} | ${distance} | ${cells.join(' | ')} |`)
  }
  console.log('\n| offset | from the first record, ms |\n|---|---|')
  for (const offset of GENESIS_AT) {
    console.log(`| ${offset} | ${await timeReads(url, offset, 'genesis')} |`)
  }
}

async function run(): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'varve-verify-'))
  const processes = new Processes()
  try {
    const data = join(scratch, 'data')
    const flags = ['--checkpoint-interval-ms', '200']
    const service = await startService({ processes, data, log: join(scratch, 'log'), flags })
    const url = `${service.url}/v1/streams/verified`
    await fill(url)
    await new Promise(resolve => {
      setTimeout(resolve, SETTLE_MS)
    })
    await printTable(url)
    await processes.end(service.child)
  } finally {
    processes.killAll()
    rmSync(scratch, { recursive: true, force: true })
  }
}

await run()

import { Agent, get, type IncomingMessage } from 'node:http'
import type { Measurement, ReadJob } from './jobs.ts'
import { Meter } from './meter.ts'

const PAGE_BYTES = 4 * 1024 * 1024
const PAGE_RECORDS = 100_000
const BATCH_ITEM_HEADER_BYTES = 8
const ACCEPT = { batch: 'application/vnd.varve.batch', json: 'application/json' } as const

type Page = {
  readonly nextOffset: number
  readonly tailOffset: number
  /** Joined when asked for only: copying would be charged to the contender. */
  readonly chunks: readonly Buffer[]
  readonly bytes: number
}

/** Everything, again and again, over one connection, one page after the other. */
export async function runReadLoop(job: ReadJob): Promise<Measurement> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const meter = new Meter(job.timing)
  let from = 0
  let isFirst = true
  try {
    for (let nowMs = performance.now(); !meter.isOver(nowMs); ) {
      const sentMs = nowMs
      const page = await readPage(job, from, agent)
      nowMs = performance.now()
      meter.record(sentMs, nowMs, page.nextOffset - from)
      checkPage(job, from, page, isFirst)
      isFirst = false
      from = page.nextOffset === page.tailOffset ? 0 : page.nextOffset
    }
    return meter.result()
  } finally {
    agent.destroy()
  }
}

async function readPage(job: ReadJob, from: number, agent: Agent): Promise<Page> {
  const query = `from=${from}&limit=${PAGE_RECORDS}&maxBytes=${PAGE_BYTES}`
  const url = `http://127.0.0.1:${job.port}/v1/streams/${job.stream}/records?${query}`
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(url, { agent, headers: { accept: ACCEPT[job.format] } }, resolve).on('error', reject)
  })
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    bytes += chunk.length
  }
  if (response.statusCode !== 200) {
    throw new Error(`answered ${response.statusCode} ${Buffer.concat(chunks).toString()}`)
  }
  const offsetIn = (name: string) => Number(response.headers[name])
  const nextOffset = offsetIn('varve-next-offset')
  return { nextOffset, tailOffset: offsetIn('varve-tail-offset'), chunks, bytes }
}

/** A batch's length says how many records it holds; of JSON the first page is parsed. */
function checkPage(job: ReadJob, from: number, page: Page, isFirst: boolean): void {
  const count = page.nextOffset - from
  if (!(count > 0)) throw new Error(`a page from ${from} ends at ${page.nextOffset}`)
  if (job.format === 'batch') {
    const expected = count * (BATCH_ITEM_HEADER_BYTES + job.recordBytes)
    if (page.bytes !== expected) throw new Error(`${count} records in ${page.bytes} bytes`)
  } else if (isFirst) {
    const body = Buffer.concat(page.chunks).toString()
    const { records } = JSON.parse(body) as { records: { offset: number; base64: string }[] }
    const isRight = records.every(
      ({ offset, base64 }, index) =>
        offset === from + index && Buffer.byteLength(base64, 'base64') === job.recordBytes,
    )
    if (!isRight || records.length !== count) throw new Error('the first page is not dense')
  }
}

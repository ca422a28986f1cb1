import { once } from 'node:events'
import { WebSocket } from 'ws'
import { httpPost } from '../contenders/requests.ts'
import { Client } from './client.ts'
import { createFailure } from './failure.ts'
import type { Measurement, TailJob } from './jobs.ts'
import { Meter } from './meter.ts'
import { sendPaced } from './paced.ts'
import { checkAppend, HttpReplies } from './replies.ts'

// Publisher and subscribers live in one process, so that one clock times both ends. The time an
// append was due travels in the first 8 bytes of its body.

const PUBLISHERS = 16
const DELIVERY_LIMIT_MS = 10_000
const MESSAGE_HEADER_BYTES = 16
const ITEM_HEADER_BYTES = 8

type Fail = (error: Error) => void

/** Counts as one record every record at every subscriber; fails unless all of them arrive. */
export async function runTailLoop(job: TailJob): Promise<Measurement> {
  const failure = createFailure()
  const subscribers: Subscriber[] = []
  let clients: Client[] = []
  const run = async () => {
    for (let index = 0; index < job.subscribers; index += 1) {
      subscribers.push(await Subscriber.open(job, failure.reject))
    }
    clients = await openPublishers(job, failure.reject)
    const meter = new Meter(job.timing)
    for (const subscriber of subscribers) subscriber.meter = meter
    const sent = await publish(job, clients, meter)
    await Promise.all(subscribers.map(subscriber => subscriber.receivedAll(sent)))
    return meter.result([sent])
  }
  try {
    return await Promise.race([run(), failure.promise])
  } finally {
    for (const client of clients) client.close()
    for (const subscriber of subscribers) subscriber.close()
  }
}

function openPublishers(job: TailJob, fail: Fail): Promise<Client[]> {
  const replies = () => new HttpReplies(body => checkAppend(body, 1))
  return Promise.all(
    Array.from({ length: PUBLISHERS }, () => Client.open(job.port, replies(), fail)),
  )
}

/** Answers how many records were appended, once all of them are acknowledged. */
async function publish(job: TailJob, clients: Client[], meter: Meter): Promise<number> {
  const { bytes, bodyAt } = createRequest(job)
  const answered = await sendPaced(
    clients.map(client => ({ client, bytes: Buffer.from(bytes) })),
    {
      requestsPerSecond: job.appendsPerSecond,
      isOver: nowMs => meter.isOver(nowMs),
      onSend: (sender, dueMs) => sender.bytes.writeDoubleLE(dueMs, bodyAt),
    },
  )
  return answered.reduce((sum, count) => sum + count, 0)
}

function createRequest(job: TailJob): { bytes: Buffer; bodyAt: number } {
  const path = `/v1/streams/${job.stream}/records`
  const body = Buffer.alloc(job.recordBytes)
  const bytes = httpPost(job.port, path, 'application/octet-stream', body)
  return { bytes, bodyAt: bytes.length - job.recordBytes }
}

class Subscriber {
  /** Set once every subscriber is live. */
  meter: Meter | undefined
  readonly #socket: WebSocket
  readonly #fail: Fail
  #nextOffset = 0
  #onLive: () => void = () => undefined
  #onProgress: () => void = () => undefined

  private constructor(job: TailJob, fail: Fail) {
    const url = `ws://127.0.0.1:${job.port}/v1/streams/${job.stream}/tail?from=start&format=batch`
    this.#fail = fail
    this.#socket = new WebSocket(url, { perMessageDeflate: false })
    this.#socket.on('error', fail)
    this.#socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) this.#takeRecords(data)
      else this.#takeNotice(data.toString())
    })
  }

  static async open(job: TailJob, fail: Fail): Promise<Subscriber> {
    const subscriber = new Subscriber(job, fail)
    const live = new Promise<void>(resolve => {
      subscriber.#onLive = resolve
    })
    await once(subscriber.#socket, 'open')
    await live
    return subscriber
  }

  close(): void {
    this.#socket.terminate()
  }

  async receivedAll(count: number): Promise<void> {
    const isLate = AbortSignal.timeout(DELIVERY_LIMIT_MS)
    await new Promise<void>((resolve, reject) => {
      isLate.addEventListener('abort', () =>
        reject(new Error(`${this.#nextOffset} of ${count} records were delivered`)),
      )
      this.#onProgress = () => {
        if (this.#nextOffset >= count) resolve()
      }
      this.#onProgress()
    })
    if (this.#nextOffset !== count) this.#fail(new Error('more was delivered than was appended'))
  }

  #takeNotice(text: string): void {
    const { type } = JSON.parse(text) as { type: string }
    if (type === 'live') this.#onLive()
    else if (type !== 'heartbeat') this.#fail(new Error(`the tail sent ${text}`))
  }

  #takeRecords(message: Buffer): void {
    const nowMs = performance.now()
    const firstOffset = Number(message.readBigUInt64LE(0))
    if (firstOffset !== this.#nextOffset) {
      this.#fail(new Error(`offset ${firstOffset} came where ${this.#nextOffset} was due`))
    }
    let at = MESSAGE_HEADER_BYTES
    while (at < message.length) {
      const bodyAt = at + ITEM_HEADER_BYTES + message.readUInt16LE(at + 4)
      this.meter?.record(message.readDoubleLE(bodyAt), nowMs, 1)
      at = bodyAt + message.readUInt32LE(at)
      this.#nextOffset += 1
    }
    this.#onProgress()
  }
}

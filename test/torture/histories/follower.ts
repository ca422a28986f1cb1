import { get, type IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import { type Json, streamPath } from '../client.ts'
import { sleep, type Trial } from '../trial.ts'
import type { Recorder } from './recorder.ts'

/** Between the end of a connection and the next. */
const AGAIN_MS = 30

type Transport = 'websocket' | 'events'

/** Where it stands in which life of the stream. */
type Position = { streamId: string | undefined; nextOffset: number; lastHash: string | undefined }

type Problem = { readonly status: number; readonly code: string }

/** Follows a stream over servers and lives; it resumes with the cursor of its last record. */
export class Follower {
  readonly stream: string
  readonly #trial: Trial
  readonly #recorder: Recorder
  readonly #transport: Transport
  /** Whether the stream may be deleted under it. */
  readonly #mayEnd: boolean
  #position: Position = { streamId: undefined, nextOffset: 0, lastHash: undefined }
  #startMs = 0
  #disconnect: () => void = () => undefined
  #isOver = false

  constructor(
    trial: Trial,
    recorder: Recorder,
    options: { readonly stream: string; readonly transport: Transport; readonly mayEnd: boolean },
  ) {
    this.#trial = trial
    this.#recorder = recorder
    this.stream = options.stream
    this.#transport = options.transport
    this.#mayEnd = options.mayEnd
  }

  get nextOffset(): number {
    return this.#position.nextOffset
  }

  /** Follows until `close`; `urlOf` is where the service is now. */
  async run(urlOf: () => string): Promise<void> {
    while (!this.#isOver) {
      this.#startMs = performance.now()
      const { nextOffset } = this.#position
      const problem = await (this.#transport === 'websocket'
        ? this.#followSocket(urlOf())
        : this.#followEvents(urlOf()))
      if (problem !== undefined) this.#refused(problem, nextOffset)
      await sleep(AGAIN_MS)
    }
  }

  close(): void {
    this.#isOver = true
    this.#disconnect()
  }

  #followSocket(url: string): Promise<Problem | undefined> {
    const { nextOffset, lastHash } = this.#position
    const after = lastHash === undefined ? '' : `&after=${lastHash}`
    const path = `${streamPath(this.stream)}/tail?from=${nextOffset}${after}`
    const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`)
    this.#disconnect = () => socket.terminate()
    let problem: Problem | undefined
    return new Promise(done => {
      socket.on('message', (data: Buffer) => {
        const message = JSON.parse(data.toString()) as Json
        if (message['type'] === 'records') this.#take(message)
        else if (message['type'] === 'error') problem = problemOf(message)
      })
      socket.once('unexpected-response', (_, response: IncomingMessage) => {
        problem = { status: response.statusCode ?? 0, code: 'before the upgrade' }
        response.resume()
        socket.terminate()
      })
      socket.on('error', () => undefined) // its server is gone; `close` follows
      socket.once('close', () => done(problem))
    })
  }

  #followEvents(url: string): Promise<Problem | undefined> {
    const { nextOffset, lastHash } = this.#position
    const headers = {
      accept: 'text/event-stream',
      ...(lastHash === undefined ? {} : { 'last-event-id': `${nextOffset}.${lastHash}` }),
    }
    const from = lastHash === undefined ? `?from=${nextOffset}` : ''
    let problem: Problem | undefined
    return new Promise(done => {
      const request = get(`${url}${streamPath(this.stream)}/records${from}`, { headers })
      this.#disconnect = () => request.destroy()
      request.once('response', response => {
        const status = response.statusCode ?? 0
        if (status !== 200) problem = { status, code: 'before the events' }
        const streamId = String(response.headers['varve-stream-id'])
        let rest = ''
        response.setEncoding('utf8').on('data', (text: string) => {
          const events = (rest + text).split('\n\n')
          rest = events.pop() ?? ''
          if (status !== 200) return
          for (const event of events) problem ??= this.#takeEvent(event, streamId)
        })
        response.on('error', () => undefined) // its server is gone; `close` follows
      })
      request.on('error', () => undefined)
      request.once('close', () => done(problem))
    })
  }

  #takeEvent(event: string, streamId: string): Problem | undefined {
    const fields = new Map(
      event.split('\n').map(line => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon), line.slice(colon + 1).trim()] as const
      }),
    )
    const data = fields.get('data')
    if (data === undefined) return undefined
    const value = JSON.parse(data) as Json
    if (fields.get('event') === 'error') return problemOf(value)
    const [next, lastHash] = (fields.get('id') ?? '').split('.')
    const firstOffset = Number(value['offset'])
    this.#take({ firstOffset, nextOffset: Number(next), streamId, lastHash, records: [value] })
    return undefined
  }

  /** Takes records, which have to go on where it stands, in the same life. */
  #take(message: Json): void {
    const { firstOffset, nextOffset, streamId, lastHash, records } = message
    const position = this.#position
    if (firstOffset !== position.nextOffset) {
      const what = `records from ${String(firstOffset)} came after ${position.nextOffset}`
      this.#trial.find('wrong', `${this.#transport} of ${this.stream}: ${what}`)
    }
    if (position.streamId !== undefined && position.streamId !== streamId) {
      this.#trial.find('wrong', `${this.#transport} of ${this.stream} goes on in another stream`)
    }
    this.#recorder.seen(this.stream, String(streamId), {
      startMs: this.#startMs,
      firstOffset: Number(firstOffset),
      records: records as readonly Json[],
    })
    this.#position = {
      streamId: String(streamId),
      nextOffset: Number(nextOffset),
      lastHash: typeof lastHash === 'string' ? lastHash : undefined,
    }
  }

  /** Begins with the next life where this one is over; a stable stream has one life alone. */
  #refused({ status, code }: Problem, nextOffset: number): void {
    if (status === 404) this.#recorder.absent(this.stream, this.#startMs)
    const isGone = [404, 409, 410, 416].includes(status)
    if (!isGone) {
      if (status !== 503 && status !== 429) {
        const what = `${this.#transport} of ${this.stream} from ${nextOffset}`
        this.#trial.find('refused', `${what}: ${status} ${code}`)
      }
      return
    }
    if (!this.#mayEnd) {
      const what = `${this.#transport} of ${this.stream} after ${nextOffset}`
      this.#trial.find('lost', `${what}: ${status} ${code}`)
    } else if (status === 409) this.#trial.note('followers told of another history', 1)
    this.#position = { streamId: undefined, nextOffset: 0, lastHash: undefined }
  }
}

function problemOf(message: Json): Problem {
  return { status: Number(message['status']), code: String(message['code']) }
}

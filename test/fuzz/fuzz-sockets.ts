import { connect } from 'node:net'
import * as fc from 'fast-check'
import { RecordFormat } from '../../src/shared/format/record.ts'
import { brokenJsonText, jsonText } from '../support/json-text.ts'
import { binaryRequest } from '../support/session-client.ts'
import { encodeBatch } from '../support/wire-samples.ts'
import { type FuzzOptions, type FuzzTarget, look } from './fuzz-http.ts'
import { FuzzReport, type FuzzRow } from './fuzz-report.ts'

// WebSocket frames as bytes: right ones, ones that lie about their length, kind or mask, and
// connections that end within one.

const LIMIT_MS = 20_000
const AT_ONCE = 8
const LOOK_EVERY = 100
const Opcode = { Continuation: 0, Text: 1, Binary: 2, Close: 8, Ping: 9 } as const
const MASK = Buffer.from([1, 2, 3, 4])

type Connection = {
  readonly path: string
  readonly frames: Buffer
}

const member = fc.constantFrom(
  '"expectedOffset":0',
  '"expectedOffset":1e400',
  '"durability":"relaxed"',
  '"producer":{"id":"p","epoch":0,"seq":0}',
  '"producer":{"id":"","epoch":-1}',
  '"id":1.10',
  '"id":{}',
  '"stream":"a//b"',
  '"op":"read"',
  '"x":[[[]]]',
)
const textMessage = fc.oneof(
  fc
    .tuple(fc.array(jsonText, { maxLength: 3 }), fc.array(member, { maxLength: 2 }))
    .map(([data, members]) => {
      const records = `"records":[${data.map(text => `{"data":${text}}`).join()}]`
      return `{${['"id":7,"op":"append","stream":"ws"', ...members, records].join()}}`
    }),
  jsonText,
  brokenJsonText,
)
const binaryMessage = fc
  .record({
    body: jsonText,
    flags: fc.constantFrom(0, 1, 3, 8, 0xffff),
    cut: fc.nat(40),
    isCut: fc.boolean(),
  })
  .map(({ body, flags, cut, isCut }) => {
    const batch = encodeBatch([{ format: RecordFormat.Json, headers: '', body }])
    const bytes = binaryRequest({ id: 1, stream: 'ws', batch, flags })
    return isCut ? bytes.subarray(0, cut) : bytes
  })
const message = fc.oneof(
  textMessage.map(text => frame(Opcode.Text, Buffer.from(text))),
  binaryMessage.map(bytes => frame(Opcode.Binary, bytes)),
  fc.uint8Array({ maxLength: 130 }).map(bytes => frame(Opcode.Text, Buffer.from(bytes))),
)
const strangeFrame = fc
  .record({
    head: fc.nat(255),
    length: fc.constantFrom(0, 5, 125, 126, 127, 254, 255),
    rest: fc.uint8Array({ maxLength: 40 }),
  })
  .map(({ head, length, rest }) => Buffer.from([head, length, ...rest]))

const connection: fc.Arbitrary<Connection> = fc
  .tuple(
    fc.constantFrom(
      '/v1/session',
      '/v1/session',
      '/v1/streams/ws/tail?from=start',
      '/v1/streams/ws/tail?from=0&format=batch',
    ),
    fc.array(fc.oneof({ weight: 5, arbitrary: message }, strangeFrame), { maxLength: 6 }),
    fc.nat(60),
  )
  .map(([path, frames, cut]) => {
    const bytes = Buffer.concat(frames)
    return { path, frames: cut < 10 ? bytes.subarray(0, bytes.length - cut) : bytes }
  })

/** Sends frames of every kind; the process answers or closes, and goes on. */
export async function fuzzSockets(
  target: FuzzTarget,
  { requests, seed }: FuzzOptions,
): Promise<FuzzRow> {
  const report = new FuzzReport('mutated WebSocket frames')
  const body = 'x'
  await fetch(`${target.url}/v1/streams/ws/records`, { method: 'POST', body })
  const queue = fc.sample(connection, { numRuns: requests, seed })[Symbol.iterator]()
  let sent = 0
  const work = async (): Promise<void> => {
    for (let next = queue.next(); next.done !== true; next = queue.next()) {
      const fault = await converse(target.url, next.value)
      if (fault === undefined) report.survived()
      else report.failed(fault, next.value.frames, next.value.path)
      sent += 1
      if (sent % LOOK_EVERY === 0) await look(target, report)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  await look(target, report)
  return report.row()
}

/** What went wrong on one connection; undefined: nothing. */
async function converse(url: string, { path, frames }: Connection): Promise<string | undefined> {
  const { port, hostname } = new URL(url)
  const head =
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'
  const answer = await new Promise<Buffer | undefined>(resolve => {
    const chunks: Buffer[] = []
    let isOpen = false
    const socket = connect(Number(port), hostname, () => socket.write(head))
    const finish = (found: Buffer | undefined): void => {
      clearTimeout(limit)
      socket.destroy()
      resolve(found)
    }
    const limit = setTimeout(() => finish(undefined), LIMIT_MS)
    socket.on('data', chunk => {
      chunks.push(chunk)
      if (isOpen) return
      isOpen = true
      socket.end(Buffer.concat([frames, frame(Opcode.Close, Buffer.from([3, 232]))]))
    })
    socket.on('error', () => undefined) // a reset: what came before it counts
    socket.on('close', () => finish(Buffer.concat(chunks)))
  })
  if (answer === undefined) return `the connection was not closed within ${LIMIT_MS} ms`
  return faultOf(answer)
}

function faultOf(answer: Buffer): string | undefined {
  const end = answer.indexOf('\r\n\r\n')
  if (!answer.toString('latin1', 0, end).startsWith('HTTP/1.1 101')) return 'it was not upgraded'
  let at = end + 4
  while (at + 2 <= answer.length) {
    const opcode = (answer[at] as number) & 0x0f
    const short = (answer[at + 1] as number) & 0x7f
    const bodyAt = at + (short === 126 ? 4 : short === 127 ? 10 : 2)
    if (bodyAt > answer.length) return undefined
    const length = short < 126 ? short : Number(`0x${answer.toString('hex', at + 2, bodyAt)}`)
    const content = answer.subarray(bodyAt, bodyAt + length)
    if (content.length < length) return undefined // cut off with the connection
    const fault = faultOfMessage(opcode, content)
    if (fault !== undefined) return fault
    at = bodyAt + length
  }
  return undefined
}

function faultOfMessage(opcode: number, content: Buffer): string | undefined {
  if (opcode === Opcode.Binary) {
    const isInternal =
      content.length >= 6 && content.length < 100 && content.readUInt16LE(4) === 500
    return isInternal ? 'a binary answer says 500' : undefined
  }
  if (opcode !== Opcode.Text) return undefined
  const { error } = JSON.parse(content.toString()) as { error?: { status: number; code: string } }
  return error !== undefined && error.status >= 500 ? `an answer says ${error.code}` : undefined
}

/** A whole masked frame, as a client sends it. */
function frame(opcode: number, content: Buffer): Buffer {
  const { length } = content
  const head = Buffer.alloc(length < 126 ? 2 : 10)
  head[0] = 0x80 | opcode
  head[1] = 0x80 | (length < 126 ? length : 127)
  if (length >= 126) head.writeBigUInt64BE(BigInt(length), 2)
  const masked = content.map((byte, index) => byte ^ (MASK[index % 4] as number))
  return Buffer.concat([head, MASK, masked])
}

import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { BATCH_ITEM_HEADER_BYTES } from '../../src/shared/format/batch.ts'
import { type ErrorCode, ERRORS } from '../../src/shared/errors.ts'
import { type Exchange, exchange } from './exchange.ts'
import { FuzzReport, type FuzzRow } from './fuzz-report.ts'
import { anyRequest, type FuzzRequest, KEPT_STREAMS } from './http-requests.ts'

/** A server that is fuzzed, which may also be another process. */
export type FuzzTarget = {
  readonly url: string
  readonly pid: number
  /** Its data directory, which no answer names. */
  readonly data: string
}

export type FuzzOptions = { readonly requests: number; readonly seed: number }

const AT_ONCE = 8
const LIMIT_MS = 20_000
const RESIDENT_MIB_MAX = 768
/** Requests between two looks at the process. */
const LOOK_EVERY = 250
/** 5xx that a client may be answered while nothing is broken. */
const EXPECTED_CODES: ReadonlySet<string> = new Set(['overloaded', 'disk_full'])
/** What HTTP has a status for, and the contract only a code. */
const PARSER_STATUSES: ReadonlySet<number> = new Set([408, 414, 417, 431])
const INNER_DETAIL = /node_modules|\n {4}at |\/src\/(main|workers|shared)\//

/**
 * Sends requests of every kind, and checks every answer against the contract, the process, and in
 * the end that the streams hold what was acknowledged, byte for byte.
 */
export async function fuzzHttp(
  target: FuzzTarget,
  { requests, seed }: FuzzOptions,
): Promise<FuzzRow> {
  const report = new FuzzReport('mutated requests')
  const kept = new Map(KEPT_STREAMS.map(stream => [stream, new Map<number, string>()]))
  const queue = fc.sample(anyRequest, { numRuns: requests, seed })[Symbol.iterator]()
  let sent = 0
  const work = async (): Promise<void> => {
    for (let next = queue.next(); next.done !== true; next = queue.next()) {
      const request = next.value
      const { bytes, isWhole } = request
      const answer = await exchange(target.url, bytes, { isWhole, limitMs: LIMIT_MS })
      const fault = faultOf(request, answer, target.data)
      if (fault === undefined) report.survived()
      else report.failed(fault, bytes, answer.body)
      if (request.kept !== undefined) keep(kept, request.kept, answer)
      sent += 1
      if (sent % LOOK_EVERY === 0) await look(target, report)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  await look(target, report)
  for (const [stream, bodies] of kept) await compare(target.url, stream, bodies, report)
  return report.row()
}

/** What the contract does not allow; undefined: nothing. */
function faultOf(
  { method, isWhole }: FuzzRequest,
  { status, type, body }: Exchange,
  data: string,
): string | undefined {
  if (status === 'late') return `no answer within ${LIMIT_MS} ms`
  if (status === 'none') return isWhole ? 'closed without an answer' : undefined
  if (INNER_DETAIL.test(body) || body.includes(data)) return 'an inner detail is shown'
  if (status < 400 || method === 'HEAD') return status < 500 ? undefined : `${status}`
  if (type !== 'application/problem+json') return `${status} is no problem but "${type}"`
  const code = /"code":"(\w+)"/.exec(body)?.[1] ?? ''
  if (!Object.hasOwn(ERRORS, code)) return `${status} has the code "${code}"`
  const isOfParser = PARSER_STATUSES.has(status) && code === 'invalid_request'
  if (ERRORS[code as ErrorCode].status !== status && !isOfParser) return `${status} is ${code}`
  return status < 500 || EXPECTED_CODES.has(code) ? undefined : `${status} ${code}`
}

function keep(
  kept: ReadonlyMap<string, Map<number, string>>,
  { stream, bodies }: NonNullable<FuzzRequest['kept']>,
  { status, body }: Exchange,
): void {
  if (status !== 200) return
  const { firstOffset } = JSON.parse(body) as { firstOffset: number }
  bodies.forEach((text, index) => kept.get(stream)?.set(firstOffset + index, text))
}

/** Whether the process still serves, in bounded memory. */
export async function look({ url, pid }: FuzzTarget, report: FuzzReport): Promise<void> {
  for (const path of ['health', 'ready']) {
    const signal = AbortSignal.timeout(LIMIT_MS)
    const status = await fetch(`${url}/v1/${path}`, { signal }).then(
      answer => answer.status,
      (error: unknown) => String(error),
    )
    if (status !== 200) report.note(`/v1/${path} answers ${status}`)
  }
  const residentMiB = residentOf(pid)
  if (residentMiB > report.residentMiB) report.residentMiB = residentMiB
  if (residentMiB > RESIDENT_MIB_MAX) report.note(`${residentMiB} MiB are resident`)
}

/** MiB; 0 where the system does not say. */
function residentOf(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'latin1')
    return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1024)
  } catch {
    return 0 // not Linux
  }
}

async function compare(
  url: string,
  stream: string,
  expected: ReadonlyMap<number, string>,
  report: FuzzReport,
): Promise<void> {
  const found = await bodiesOf(url, stream)
  for (const [offset, text] of expected) {
    report.records += 1
    if (found[offset] === text) continue
    report.lost += 1
    const was = JSON.stringify(found[offset])
    report.note('a record was changed:', `${stream} ${offset} ${was}, was ${JSON.stringify(text)}`)
  }
}

async function bodiesOf(url: string, stream: string): Promise<string[]> {
  const bodies: string[] = []
  for (;;) {
    const path = `/v1/streams/${encodeURIComponent(stream)}/records`
    const answer = await fetch(`${url}${path}?from=${bodies.length}&maxBytes=1048576`, {
      headers: { accept: 'application/vnd.varve.batch' },
    })
    const batch = Buffer.from(await answer.arrayBuffer())
    if (!answer.ok || batch.length === 0) return bodies
    for (let at = 0; at < batch.length; ) {
      const bodyAt = at + BATCH_ITEM_HEADER_BYTES + batch.readUInt16LE(at + 4)
      const end = bodyAt + batch.readUInt32LE(at)
      bodies.push(batch.toString('utf8', bodyAt, end))
      at = end
    }
  }
}

import { type Answer, type Client, describe, type Json, streamPath } from './client.ts'
import { digestOf, type Ledger, type StreamLedger } from './ledger.ts'
import type { Trial } from './trial.ts'

const PAGE = 'limit=100000&maxBytes=16777216'

/** What a stream answered when all of it was asked for. */
type StreamAudit = {
  readonly stream: string
  /** Records that were read and are as the ledger has them. */
  readonly readCount: number
  /** The first answer that was no page, if one was not. */
  readonly refusal: Answer | undefined
}

/**
 * Reads every stream of the ledger from its first record to its end and finds what is lost or
 * wrong. A refusal is not judged here: whether it is just depends on the fault.
 */
export async function audit(trial: Trial, client: Client, ledger: Ledger): Promise<StreamAudit[]> {
  const audits: StreamAudit[] = []
  for (const stream of ledger.streams.values()) {
    audits.push(await auditStream(trial, client, stream))
  }
  return audits
}

/** As `audit`, where nothing excuses a refusal; then settles what was open. */
export async function auditWhole(trial: Trial, client: Client, ledger: Ledger): Promise<void> {
  for (const { stream, refusal } of await audit(trial, client, ledger)) {
    if (refusal !== undefined) trial.find('refused', `read of ${stream}: ${describe(refusal)}`)
  }
  ledger.settle()
}

/** Verifies every stream over HTTP; anything but ok is a finding. */
export async function verifyWhole(trial: Trial, client: Client, ledger: Ledger): Promise<void> {
  for (const { name, exists } of ledger.streams.values()) {
    if (!exists) continue
    const answer = await client.get(`${streamPath(name)}/verify`)
    if (answer.status !== 200) trial.find('refused', `verify of ${name}: ${describe(answer)}`)
    else if (answer.json['ok'] !== true) {
      trial.find('wrong', `verify of ${name}: ${JSON.stringify(answer.json['failure'])}`)
    }
  }
}

async function auditStream(
  trial: Trial,
  client: Client,
  stream: StreamLedger,
): Promise<StreamAudit> {
  const info = await client.get(streamPath(stream.name))
  const ended = { stream: stream.name, readCount: 0 }
  if (info.status === 404) {
    if (stream.deletion === 'asked') stream.rebirth()
    else if (stream.exists) trial.find('lost', `${stream.name} is answered 404`)
    return { ...ended, refusal: undefined }
  }
  if (info.status !== 200) return { ...ended, refusal: info }
  recognise(trial, stream, info.json)
  return readStream(trial, client, stream)
}

/** Tells this life of the stream from the next by its id. */
function recognise(trial: Trial, stream: StreamLedger, info: Json): void {
  const streamId = String(info['streamId'])
  if (stream.streamId !== undefined && stream.streamId !== streamId) {
    if (stream.deletion === 'none') trial.find('lost', `${stream.name} is another stream now`)
    stream.rebirth()
  }
  stream.streamId = streamId
  stream.deletion = 'none'
  stream.exists = true
}

async function readStream(
  trial: Trial,
  client: Client,
  stream: StreamLedger,
): Promise<StreamAudit> {
  const { name } = stream
  let from: number | 'start' = 'start'
  let readCount = 0
  for (;;) {
    const page = await client.get(`${streamPath(name)}/records?from=${from}&${PAGE}`)
    if (page.status !== 200) return { stream: name, readCount, refusal: page }
    const { records, firstOffset, nextOffset, tailOffset } = pageOf(page)
    if (from === 'start') checkStart(trial, stream, firstOffset)
    checkPage(trial, stream, records, firstOffset)
    readCount += records.length
    from = nextOffset
    if (nextOffset >= tailOffset || records.length === 0) break
  }
  const end = from
  const lost = [...stream.records.keys()].filter(offset => offset >= end)
  for (const offset of lost) trial.find('lost', `${name}@${offset}: the stream ends at ${end}`)
  return { stream: name, readCount, refusal: undefined }
}

/** Records may be missing at the front only where a trim was asked for. */
function checkStart(trial: Trial, stream: StreamLedger, firstOffset: number): void {
  const { name, trimAsked, trimmed } = stream
  if (firstOffset > trimAsked) {
    trial.find('lost', `${name} starts at ${firstOffset}, the largest trim was ${trimAsked}`)
  }
  if (firstOffset < trimmed) {
    trial.find('wrong', `${name} starts at ${firstOffset}, below its trim to ${trimmed}`)
  }
  for (const offset of stream.records.keys()) {
    if (offset < firstOffset) stream.records.delete(offset)
  }
}

/** Holds the records of a page against the ledger: dense from `firstOffset` on, and the same. */
export function checkPage(
  trial: Trial,
  stream: StreamLedger,
  records: readonly Json[],
  firstOffset: number,
): void {
  const gap = records.findIndex((record, index) => record['offset'] !== firstOffset + index)
  if (gap >= 0) trial.find('wrong', `${stream.name}@${firstOffset + gap} is not where it belongs`)
  stream.hold(trial, firstOffset, records.map(digestOf))
}

export function pageOf({ json }: Answer) {
  return {
    records: json['records'] as readonly Json[],
    firstOffset: Number(json['firstOffset']),
    nextOffset: Number(json['nextOffset']),
    /** Infinity for a page of a shard that does not know where the stream ends. */
    tailOffset: Number(json['tailOffset'] ?? Number.POSITIVE_INFINITY),
  }
}

import { cpSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { auditWhole } from '../audit.ts'
import { type Client, streamPath } from '../client.ts'
import { Ledger } from '../ledger.ts'
import { Server, SMALL } from '../server.ts'
import { sleep, Trial } from '../trial.ts'

// The stores that are tampered with: built once, copied for every case.

export const SHARDS = 2
/** Streams of shard 0 and 1; the first of shard 0 is the one that is damaged. */
export const VICTIM = nameIn(0, 'victim')
export const STREAMS = [
  VICTIM,
  nameIn(0, 'neighbour'),
  nameIn(0, 'second'),
  nameIn(1, 'far'),
  nameIn(1, 'away'),
]
export const TRIMMED = nameIn(1, 'trimmed')

/** Larger than what a phase writes, so that nothing but the first phase is written back. */
const NO_WRITE_BACK = ['--checkpoint-interval-ms=3600000', '--journal-bytes-max=64MiB']
const RECORDS = 150
const BATCH = 10
/** Past the idle seal, and past a write-back. */
const IDLE_MS = 400

export type BaseStores = {
  /** Stopped after half of the records: where stale copies come from. */
  readonly early: string
  /** Killed with the second half in the journal alone. */
  readonly killed: string
  /** The same records, stopped cleanly. */
  readonly stopped: string
  readonly trial: Trial
  readonly ledger: Ledger
}

let built: Promise<BaseStores> | undefined

/** The stores, built at the first call of the process. */
export function baseStores(): Promise<BaseStores> {
  built ??= buildStores()
  return built
}

async function buildStores(): Promise<BaseStores> {
  const trial = new Trial(1)
  const directory = trial.path('.')
  // They serve every case, so no case can remove them.
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const ledger = new Ledger(trial)
  const data = trial.path('data')
  const [early, killed, stopped] = ['early', 'killed', 'stopped'].map(name => trial.path(name)) as [
    string,
    string,
    string,
  ]
  const first = await Server.start(trial, { data })
  await fill(first.client, ledger)
  await sleep(IDLE_MS)
  await first.stop()
  copy(data, early)
  const second = await Server.start(trial, { data, args: [...SMALL, ...NO_WRITE_BACK] })
  await fill(second.client, ledger)
  await trim(second.client, ledger)
  await auditWhole(trial, second.client, ledger)
  await sleep(IDLE_MS)
  await second.kill()
  copy(data, killed)
  const third = await Server.start(trial, { data })
  await sleep(IDLE_MS)
  await third.stop()
  copy(data, stopped)
  if (trial.findings.length > 0) throw new Error(`the store to damage is not sound`)
  return { early, killed, stopped, trial, ledger }
}

export function copy(from: string, to: string): void {
  cpSync(from, to, { recursive: true, preserveTimestamps: true })
}

/** The directory of a stream, found by the readable part of its name. */
export function directoryOf(data: string, stream: string): string {
  const found = readdirSync(join(data, 'streams'), { recursive: true, encoding: 'utf8' }).find(
    path => path.split('/').length === 2 && path.split('/')[1]?.startsWith(`${stream}-`),
  )
  if (found === undefined) throw new Error(`${data} has no directory of ${stream}`)
  return join('streams', found)
}

/** Names of the segments of a stream, in order. */
export function segmentsOf(data: string, stream: string): string[] {
  const directory = directoryOf(data, stream)
  const names = readdirSync(join(data, directory)).filter(name => name.endsWith('.log'))
  return names.sort().map(name => join(directory, name))
}

/** The journal files of a shard, in order. */
export function journalsOf(data: string, shard: number): string[] {
  const directory = `journals/shard-0${shard}`
  const names = readdirSync(join(data, directory)).filter(name => name.endsWith('.wal'))
  return names.sort().map(name => join(directory, name))
}

/** Bytes of a journal file up to the last that is not zero. */
export function usedBytes(path: string): number {
  const bytes = readFileSync(path)
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end -= 1
  return end
}

async function fill(client: Client, ledger: Ledger): Promise<void> {
  for (let count = 0; count < RECORDS / BATCH; count += 1) {
    for (const stream of [...STREAMS, TRIMMED]) {
      const records = Array.from({ length: BATCH }, () => ({ text: ledger.text(1000) }))
      const sent = ledger.send([{ stream, records }])
      ledger.answered(sent, await client.append(stream, { records }))
    }
    const appends = [VICTIM, STREAMS[3] as string].map(stream => ({
      stream,
      records: [{ text: ledger.text() }],
    }))
    const sent = ledger.send(appends)
    const answer = await client.post('/v1/transactions', { appends })
    const parts = answer.json['appends'] as readonly { readonly firstOffset: number }[]
    ledger.applied(
      sent,
      parts.map(({ firstOffset }) => firstOffset),
    )
  }
}

async function trim(client: Client, ledger: Ledger): Promise<void> {
  const stream = ledger.of(TRIMMED)
  stream.trimAsked = RECORDS
  await client.post(`${streamPath(TRIMMED)}/trim`, { before: RECORDS })
  stream.trimmed = RECORDS
}

/** A name that the router of the format (CRC-32 of the name, modulo the shards) puts in `shard`. */
function nameIn(shard: number, prefix: string): string {
  for (let count = 0; ; count += 1) {
    const name = `${prefix}${count}`
    if (crc32(name) % SHARDS === shard) return name
  }
}

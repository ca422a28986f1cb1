import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import {
  compressBody,
  compressionCodeOf,
  compressionOffered,
  expandBody,
} from '../src/shared/format/compression.ts'
import { RECORD_OVERHEAD_BYTES } from '../src/shared/format/record.ts'
import { describeMachine } from './bench/machine.ts'
import { type Row, renderRows } from './bench/markdown.ts'

// `npm run bench:compression -- FILE...`: what compression by record makes of real text, at what
// cost. README.md says what the columns mean.

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const LINE_FEED = 10
const MB = 1e6
/** How many bytes of consecutive lines make one record; 0: each line is one. */
const RECORD_BYTES = [0, 4096, 65_536]
const NAMES = ['none', 'lz4', 'zstd'] as const
const ROUND_MS = 300
const ROUNDS = 3

type Stored = { readonly body: Buffer; readonly isSmaller: boolean; readonly rawLength: number }

/** The lines of a file, joined until a record has `recordBytes`. */
function cutRecords(text: Buffer, recordBytes: number): Buffer[] {
  const records: Buffer[] = []
  for (let from = 0, at = 0; at < text.length; ) {
    const found = text.indexOf(LINE_FEED, at)
    const end = found === -1 ? text.length : found
    at = end + 1
    if (end === from || (end - from < recordBytes && at < text.length)) continue
    records.push(text.subarray(from, end))
    from = at
  }
  return records
}

/** Seconds that one `pass` takes: the median of rounds of as many as fit into ROUND_MS. */
function secondsOf(pass: () => void): number {
  pass() // once for the compiler
  const rounds = Array.from({ length: ROUNDS }, () => {
    const startedAt = performance.now()
    let passes = 0
    while (performance.now() - startedAt < ROUND_MS) {
      pass()
      passes += 1
    }
    return (performance.now() - startedAt) / passes / 1000
  })
  return rounds.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? Number.NaN
}

function measure(name: (typeof NAMES)[number], records: readonly Buffer[]): Row {
  const code = compressionCodeOf(name)
  const store = (body: Buffer): Stored => {
    const smaller = compressBody(code, body, 0, body.length)
    return { body: smaller ?? body, isSmaller: smaller !== undefined, rawLength: body.length }
  }
  const expand = ({ body, isSmaller, rawLength }: Stored) =>
    isSmaller ? expandBody(code, body, rawLength) : body
  const stored = records.map(store)
  const wrong = stored.findIndex((item, index) => !expand(item).equals(records[index] as Buffer))
  if (wrong !== -1) throw new Error(`record ${wrong} did not come back`)
  const raw = sum(records)
  const kept = sum(stored.map(({ body }) => body))
  const overhead = records.length * RECORD_OVERHEAD_BYTES
  const compressSeconds = secondsOf(() => records.forEach(store))
  const expandSeconds = secondsOf(() => stored.forEach(expand))
  const each = name !== 'none'
  return {
    codec: name,
    'smaller %': (
      (100 * stored.filter(({ isSmaller }) => isSmaller).length) /
      records.length
    ).toFixed(1),
    'raw MB': (raw / MB).toFixed(2),
    'stored MB': (kept / MB).toFixed(2),
    ratio: (raw / kept).toFixed(2),
    'ratio on disk': ((raw + overhead) / (kept + overhead)).toFixed(2),
    'compress MB/s': each ? (raw / MB / compressSeconds).toFixed(0) : '',
    'expand MB/s': each ? (raw / MB / expandSeconds).toFixed(0) : '',
    'compress µs': each ? ((1e6 * compressSeconds) / records.length).toFixed(1) : '',
    'expand µs': each ? ((1e6 * expandSeconds) / records.length).toFixed(1) : '',
  }
}

function sum(buffers: readonly Buffer[]): number {
  return buffers.reduce((total, { length }) => total + length, 0)
}

function rowsOf(path: string): Row[] {
  const text = readFileSync(path)
  return RECORD_BYTES.flatMap(recordBytes => {
    const records = cutRecords(text, recordBytes)
    const mean = Math.round(sum(records) / records.length)
    const shape = recordBytes === 0 ? 'a line' : `lines to ${recordBytes / 1024} KiB`
    return NAMES.filter(name => compressionOffered(name) === undefined).map(name => ({
      file: basename(path),
      record: shape,
      records: records.length,
      'mean B': mean,
      ...measure(name, records),
    }))
  })
}

function main(): void {
  const { positionals } = parseArgs({ allowPositionals: true })
  if (positionals.length === 0) {
    console.error('usage: npm run bench:compression -- FILE...   (text, a record a line)')
    process.exitCode = 2
    return
  }
  const { processor, cores, system, node, loadAverage } = describeMachine(ROOT, ROOT)
  console.log(`machine   ${processor}, ${cores} cores, ${system}, load ${loadAverage.join(' ')}`)
  const { version } = JSON.parse(
    readFileSync(`${ROOT}/node_modules/lz4-napi/package.json`, 'utf8'),
  ) as { version: string }
  console.log(
    `versions  Node ${node}, lz4-napi ${version}, zstd ${process.versions.zstd ?? 'none'}`,
  )
  console.log(`zstd      ${compressionOffered('zstd') ?? 'offered'}\n`)
  console.log(renderRows(positionals.flatMap(rowsOf)))
}

main()

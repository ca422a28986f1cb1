import * as assert from 'uvu/assert'
import { STREAM_CONFIG_DEFAULT } from '../../src/shared/limits.ts'
import type { RecordChunk, StreamListener, StreamStore } from '../../src/main/store.ts'
import { StoreError } from '../../src/shared/errors.ts'
import { BATCH_ITEM_HEADER_BYTES, encodeBatchItemHeader } from '../../src/shared/format/batch.ts'
import { RecordFormat, RecordKind, viewRecord } from '../../src/shared/format/record.ts'
import type { ReadRequest, StreamConfig } from '../../src/shared/protocol/streams.ts'
import type { RecordObject } from '../../src/shared/schemas/read.ts'

export const CONFIG: StreamConfig = {
  ...STREAM_CONFIG_DEFAULT,
  maxSegmentBytes: 1024 * 1024,
}

export const READ: ReadRequest = {
  from: 'start',
  direction: 'forward',
  limit: 1000,
  maxBytes: 1024 * 1024,
  verify: 'links',
  encoding: 'json',
}

/** Returns the StoreError that `promise` rejects with; anything else fails the test. */
export async function failureOf(promise: Promise<unknown>): Promise<StoreError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof StoreError) return error
    throw error
  }
  throw new Error('it was not refused')
}

export async function withStore(
  open: () => Promise<StreamStore>,
  run: (store: StreamStore) => Promise<void>,
): Promise<void> {
  const store = await open()
  try {
    await run(store)
  } finally {
    await store.close()
  }
}

/** Makes a test of what it does with a store of its own. */
export type Define = (title: string, run: (store: StreamStore) => Promise<void>) => void

type JsonPage = Awaited<ReturnType<StreamStore['read']>> & { records: RecordObject[] }

export function append(store: StreamStore, stream: string, ...texts: string[]) {
  return store.append({ stream, ...batchOf(...texts) })
}

export async function readJson(
  store: StreamStore,
  stream: string,
  request: Partial<ReadRequest> = {},
): Promise<JsonPage> {
  const page = await store.read(stream, { ...READ, ...request })
  const text = Buffer.from(page.payload).toString()
  return { ...page, records: JSON.parse(`[${text}]`) as RecordObject[] }
}

export function textsOf(...pages: JsonPage[]): (string | undefined)[] {
  return pages.flatMap(({ records }) => records.map(({ text }) => text))
}

/** Texts of all records that a stream keeps. */
export async function textsIn(store: StreamStore, stream: string): Promise<(string | undefined)[]> {
  return textsOf(await readJson(store, stream, { limit: 100_000, verify: 'genesis' }))
}

export async function rejects(promise: Promise<unknown>, code: string): Promise<StoreError> {
  try {
    await promise
  } catch (error) {
    assert.instance(error, StoreError)
    assert.is((error as StoreError).code, code)
    return error as StoreError
  }
  throw new Error(`expected ${code}`)
}

/** Asks again and again; the runner's time limit is the only one. */
export async function eventually(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) {
    await new Promise(resolve => {
      setTimeout(resolve, 5)
    })
  }
}

/** `0`, `1`, ... */
export function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${index}`)
}

/** Text records in the batch encoding. */
export function batchOf(...texts: string[]): { batch: Buffer; count: number } {
  const items = texts.map(text => {
    const body = Buffer.from(text)
    const header = Buffer.alloc(BATCH_ITEM_HEADER_BYTES)
    encodeBatchItemHeader(header, 0, RecordFormat.Text, 0, body.length)
    return Buffer.concat([header, body])
  })
  return { batch: Buffer.concat(items), count: texts.length }
}

export type Collector = StreamListener & {
  /** Of the records that came, in order. */
  readonly offsets: number[]
  readonly ended: Promise<'closed' | 'deleted' | 'failed'>
  /** Resolves once everything below an offset has come. */
  until(offset: number): Promise<void>
}

/** A listener that keeps what it hears. */
export function collect(): Collector {
  const offsets: number[] = []
  const waiting: { offset: number; resolve: () => void }[] = []
  let next = 0
  let end: (reason: 'closed' | 'deleted' | 'failed') => void = () => undefined
  const ended = new Promise<'closed' | 'deleted' | 'failed'>(resolve => {
    end = resolve
  })
  return {
    offsets,
    ended,
    onRecords(chunk: RecordChunk): void {
      offsets.push(...offsetsOf(chunk))
      next = chunk.nextOffset
      for (const { offset, resolve } of waiting) if (next >= offset) resolve()
    },
    onEnd: reason => end(reason),
    until: offset =>
      new Promise(resolve => {
        waiting.push({ offset, resolve })
        if (next >= offset) resolve()
      }),
  }
}

function offsetsOf({ firstOffset, nextOffset, records }: RecordChunk): number[] {
  if (records === null) {
    return Array.from({ length: nextOffset - firstOffset }, (_, index) => firstOffset + index)
  }
  const offsets: number[] = []
  for (let at = 0; at < records.length; ) {
    const record = viewRecord(records, at)
    if (record === undefined) throw new Error(`no record at ${at}`)
    if (record.kind === RecordKind.Data) offsets.push(record.offset)
    at = record.end
  }
  return offsets
}

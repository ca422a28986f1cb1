import { isUtf8 } from 'node:buffer'
import type { Readable } from 'node:stream'
import { RecordFormat } from '../../shared/format/record.ts'
import { type AppendFlags, FORMATS } from './append-source.ts'
import type { BatchSender } from './batch-sender.ts'
import { LineSplitter } from './line-splitter.ts'

/** Turns the input, from its byte `start` on, into records. */
export async function feedRecords(
  input: Readable,
  start: number,
  sender: BatchSender,
  flags: Pick<AppendFlags, 'lines' | 'ndjson' | 'type'>,
): Promise<void> {
  if (flags.lines !== true && flags.ndjson !== true) {
    const body = Buffer.concat((await input.toArray()) as Buffer[])
    if (start > 0) return undefined // the one record is there
    const guessed = isUtf8(body) ? RecordFormat.Text : RecordFormat.Binary
    const format = flags.type === undefined ? guessed : FORMATS[flags.type]
    return sender.add(format, body, body.length)
  }
  const splitter = new LineSplitter()
  const toItem = flags.lines === true ? lineItem : ndjsonItem
  let position = start
  const addAll = async (lines: Iterable<Buffer>, lineFeedBytes: number) => {
    for (const line of lines) {
      position += line.length + lineFeedBytes
      const item = toItem(line)
      if (item !== undefined) await sender.add(item.format, item.body, position)
    }
    sender.offer()
  }
  for await (const chunk of input) await addAll(splitter.push(chunk as Buffer), 1)
  await addAll(splitter.end(), 0)
}

type Item = { readonly format: RecordFormat; readonly body: Buffer }

function lineItem(line: Buffer): Item {
  return { format: isUtf8(line) ? RecordFormat.Text : RecordFormat.Binary, body: line }
}

/** The white space of JSON (RFC 8259, section 2). */
const SPACES = new Set([0x20, 0x09, 0x0a, 0x0d])

function ndjsonItem(line: Buffer): Item | undefined {
  let start = 0
  let end = line.length
  while (start < end && SPACES.has(line[start] as number)) start += 1
  while (end > start && SPACES.has(line[end - 1] as number)) end -= 1
  return start === end ? undefined : { format: RecordFormat.Json, body: line.subarray(start, end) }
}

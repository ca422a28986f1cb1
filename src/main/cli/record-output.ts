import { decodeBatchItem } from '../../shared/format/batch.ts'

// Records in the media types of the server → what a command prints. Bytes stay bytes: no body
// passes through a string.

const LINE_FEED = 10

export const BATCH_TYPE = 'application/vnd.varve.batch'
export const NDJSON_TYPE = 'application/x-ndjson'

export function countBatchItems(batch: Buffer): number {
  let count = 0
  for (let at = 0; at < batch.length; count += 1) at = decodeBatchItem(batch, at, batch.length).end
  return count
}

/** Bodies of `count` items, the first `skip` left out; each with a line feed where asked for. */
export function bodiesOf(
  batch: Buffer,
  { count, skip = 0, lineFeeds }: { count: number; skip?: number; lineFeeds: boolean },
): Buffer {
  // Room enough: an item's header is longer than a line feed.
  const target = Buffer.allocUnsafe(batch.length)
  let at = 0
  let written = 0
  for (let item = 0; item < skip + count && at < batch.length; item += 1) {
    const { headersAt, headersLength, end } = decodeBatchItem(batch, at, batch.length)
    if (item >= skip) {
      written += batch.copy(target, written, headersAt + headersLength, end)
      if (lineFeeds) {
        target[written] = LINE_FEED
        written += 1
      }
    }
    at = end
  }
  return target.subarray(0, written)
}

export function countLines(ndjson: Buffer): number {
  let count = 0
  for (let at = ndjson.indexOf(LINE_FEED); at >= 0; at = ndjson.indexOf(LINE_FEED, at + 1))
    count += 1
  return count
}

/** The first `count` lines, line feeds included. */
export function firstLines(ndjson: Buffer, count: number): Buffer {
  let at = 0
  for (let line = 0; line < count; line += 1) {
    const end = ndjson.indexOf(LINE_FEED, at)
    if (end < 0) return ndjson
    at = end + 1
  }
  return ndjson.subarray(0, at)
}

/**
 * Returns the source texts of the elements of the array that is the value of `key` in a JSON
 * object, each on one line, because JSON.parse would round long numbers. `text` is valid JSON that
 * has the key once.
 */
export function elementTexts(text: string, key: string): string[] {
  const elements: string[] = []
  let at = text.indexOf('[', text.indexOf(`"${key}"`)) + 1
  let start = at
  for (let depth = 0; at < text.length; at += 1) {
    const character = text[at]
    if (character === '"') at = endOfString(text, at)
    else if (character === '[' || character === '{') depth += 1
    else if (character === ',' && depth === 0) {
      elements.push(onOneLine(text.slice(start, at)))
      start = at + 1
    } else if (character === ']' || character === '}') {
      if (depth === 0) break
      depth -= 1
    }
  }
  const last = onOneLine(text.slice(start, at))
  return last === '' ? elements : [...elements, last]
}

/** Line breaks in JSON text lie between its tokens: strings have them escaped. */
function onOneLine(text: string): string {
  return text.trim().replaceAll(/[\r\n]/g, ' ')
}

/** Position of the quote that ends the string whose first quote is at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1
  while (text[at] !== '"' && at < text.length) at += text[at] === '\\' ? 2 : 1
  return at
}

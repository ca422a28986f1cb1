import { READ_RECORDS_MAX } from '../../shared/limits.ts'
import { type Answer, type Client, streamPath } from './client.ts'
import { CommandFailure } from './context.ts'

const PAGE_BYTES_MAX = 8 * 1024 * 1024

export type PageRange = {
  readonly from: number | 'start' | 'end' | undefined
  /** Where to stop: the first offset not wanted; backwards the last one wanted. */
  readonly to: number | undefined
  readonly limit: number | undefined
  readonly isBackward: boolean
  /** RFC 3339. */
  readonly since: string | undefined
  readonly verify: string | undefined
  /** Hash of the record before `from`. */
  readonly after: string | undefined
}

export type Page = {
  /** In the media type asked for. */
  readonly body: Buffer
  /** How many of its records are wanted, from its start. */
  readonly count: number
}

/**
 * The records of a range, page by page, up to where the stream ended when the first was read. Each
 * page is asked for with the cursor of the one before, so that all of them are of one history.
 * @param countRecords of a page's body
 */
export async function* readPages(
  client: Client,
  stream: string,
  range: PageRange,
  accept: string,
  countRecords: (body: Buffer) => number,
): AsyncGenerator<Page> {
  const { to, isBackward } = range
  let left = range.limit ?? Number.POSITIVE_INFINITY
  let from = range.from ?? (isBackward ? 'end' : undefined)
  let { since, after } = range
  let end: number | undefined
  while (left > 0) {
    const wanted = Math.min(left, distance(from, to, isBackward))
    if (wanted <= 0) return
    const answer = await client.request({
      path: streamPath(stream, '/records'),
      query: {
        from,
        since,
        after,
        direction: isBackward ? 'backward' : undefined,
        limit: Math.min(wanted, READ_RECORDS_MAX),
        maxBytes: PAGE_BYTES_MAX,
        verify: range.verify,
      },
      headers: { accept },
    })
    const next = offsetHeader(answer, 'varve-next-offset')
    // A page without a tail offset comes from a damaged shard: read on until it refuses a page.
    const tail = hasTail(answer)
      ? offsetHeader(answer, 'varve-tail-offset')
      : Number.POSITIVE_INFINITY
    end ??= isBackward ? 0 : Math.min(to ?? tail, tail)
    const found = countRecords(answer.body)
    if (found === 0) return
    const start = isBackward ? (typeof from === 'number' ? from : tail) : next - found
    const count = Math.min(found, left, isBackward ? start - (to ?? 0) : end - start)
    if (count <= 0) return
    yield { body: answer.body, count }
    left -= count
    if (isBackward ? next <= Math.max(to ?? 0, 0) : next >= end) return
    from = next
    since = undefined
    const hash = answer.headers['varve-last-hash']
    after = typeof hash === 'string' ? hash : undefined
  }
}

/** Records between where a read stands and where it stops, as far as that is known. */
function distance(
  from: number | 'start' | 'end' | undefined,
  to: number | undefined,
  isBackward: boolean,
): number {
  if (to === undefined || typeof from !== 'number') return Number.POSITIVE_INFINITY
  return isBackward ? from - to : to - from
}

function hasTail({ headers }: Answer): boolean {
  return headers['varve-tail-offset'] !== undefined
}

function offsetHeader({ headers }: Answer, name: string): number {
  const value = Number(headers[name] ?? Number.NaN)
  if (!Number.isSafeInteger(value)) {
    throw new CommandFailure(`the server's answer has no ${name}: is it a Varve server?`)
  }
  return value
}

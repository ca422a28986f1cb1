import { Problem } from '../../shared/schemas/problem.ts'
import { readU64 } from '../../shared/format/bytes.ts'
import { CommandFailure } from './context.ts'
import { elementTexts } from './record-output.ts'

/** u64 firstOffset, u32 count, u32 reserved, then the batch encoding (api.md, Tail). */
const BINARY_HEADER_BYTES = 16

export type TailRecords = {
  readonly firstOffset: number
  readonly count: number
  /** How many of them, from the first, were seen before. */
  readonly skip: number
  /** Record objects as they were written, or the batch encoding. */
  readonly content: readonly string[] | Buffer
}

/** Where a stream may be gone on with: an offset, and the hash of the record before it. */
export type TailCursor = { readonly nextOffset: number; readonly lastHash: string }

export type TailMessage =
  | {
      readonly type: 'records'
      readonly records: TailRecords
      readonly cursor: TailCursor | undefined
    }
  | { readonly type: 'closed' }
  | { readonly type: 'error'; readonly problem: Problem }
  /** `live`, `heartbeat`, and what a later server may add. */
  | { readonly type: 'other'; readonly cursor: TailCursor | undefined }

/** @throws CommandFailure when it is no message of api.md */
export function parseTailMessage(data: Buffer, isBinary: boolean): TailMessage {
  if (isBinary) {
    const firstOffset = data.length < BINARY_HEADER_BYTES ? Number.NaN : readU64(data, 0)
    if (Number.isNaN(firstOffset)) throw unreadable()
    const count = data.readUInt32LE(8)
    const content = data.subarray(BINARY_HEADER_BYTES)
    const records = { firstOffset, count, skip: 0, content }
    return { type: 'records', records, cursor: undefined }
  }
  const text = data.toString()
  const message = parse(text)
  switch (message['type']) {
    case 'records': {
      const content = elementTexts(text, 'records')
      const firstOffset = message['firstOffset']
      if (!Number.isSafeInteger(firstOffset)) throw unreadable()
      return {
        type: 'records',
        records: { firstOffset: firstOffset as number, count: content.length, skip: 0, content },
        cursor: cursorOf(message),
      }
    }
    case 'closed':
      return { type: 'closed' }
    case 'error': {
      const problem = Problem.safeParse({ ...message, type: 'about:blank' })
      if (!problem.success) throw unreadable()
      return { type: 'error', problem: problem.data }
    }
    default:
      return { type: 'other', cursor: cursorOf(message) }
  }
}

function cursorOf({ nextOffset, lastHash }: Record<string, unknown>): TailCursor | undefined {
  const isOne = Number.isSafeInteger(nextOffset) && typeof lastHash === 'string'
  return isOne ? { nextOffset: nextOffset as number, lastHash } : undefined
}

function parse(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch (error) {
    throw unreadable(error)
  }
}

function unreadable(cause?: unknown): CommandFailure {
  return new CommandFailure('the server sent a message that cannot be read', 1, cause)
}

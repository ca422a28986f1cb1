import { writeU64 } from './bytes.ts'
import { layout } from './layout.ts'

// The binary answer of the append session (api.md). After a failure, where the request asked for
// it, the problem follows as UTF-8 JSON to the message's end.

export const SESSION_ANSWER_BYTES = 24

// biome-ignore format: a layout is read as a table
export const SESSION_ANSWER_LAYOUT = { // little-endian
  //            at width
  id:          [ 0, 4 ], // u32  the request's
  status:      [ 4, 2 ], // u16  200, or the status of the problem
  reserved:    [ 6, 2 ], // u16  zero
  firstOffset: [ 8, 8 ], // u64  of a failure: SessionOutcome
  nextOffset:  [16, 8 ], // u64  of a failure: where the stream is, with 412; else zero
} as const
const at = layout(SESSION_ANSWER_BYTES, SESSION_ANSWER_LAYOUT)

/** What became of a failed append, in `firstOffset`. */
export const SessionOutcome = { not_applied: 0, unknown: 1 } as const

export type SessionAnswer = {
  readonly id: number
  readonly status: number
  readonly firstOffset: number
  readonly nextOffset: number
}

/** The fixed part, and behind it room for `extraBytes`, not set. */
export function encodeSessionAnswer(answer: SessionAnswer, extraBytes = 0): Buffer {
  const bytes = Buffer.allocUnsafe(SESSION_ANSWER_BYTES + extraBytes)
  bytes.writeUInt32LE(answer.id, at.id)
  bytes.writeUInt32LE(answer.status, at.status) // the reserved bytes are zero
  writeU64(bytes, at.firstOffset, answer.firstOffset)
  writeU64(bytes, at.nextOffset, answer.nextOffset)
  return bytes
}

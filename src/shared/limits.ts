import type { StreamConfig } from './protocol/streams.ts'

// Bounds that more than one part relies on. Options that a user may set take their defaults here;
// src/main/config.ts gives each its sentence and its bounds.

export const KIB = 1024
export const MIB = 1024 * KIB

/**
 * Unit of the journal: blocks start at multiples of it, and no page with durable bytes is
 * rewritten.
 */
export const PAGE_BYTES = 4096

/** UTF-8 bytes of a stream's name. */
export const STREAM_NAME_BYTES_MAX = 512

/** Bodies, batches and headers of one append (api.md, Append). */
export const RECORD_BYTES_MAX = 8 * MIB
/** What recordBytesMax may be set to at most: a record that claims more is damaged. */
export const RECORD_BYTES_BOUND = 256 * MIB
export const REQUEST_BYTES_MAX = 32 * MIB
export const BATCH_RECORDS_MAX = 10_000
export const HEADERS_MAX = 64
export const HEADERS_BYTES_MAX = 8 * KIB

/** One read (api.md, Read). */
export const READ_RECORDS_DEFAULT = 1000
export const READ_RECORDS_MAX = 100_000
export const READ_BYTES_DEFAULT = MIB
export const READ_BYTES_MAX = 64 * MIB
export const READ_WAIT_MS_MAX = 60_000

export const LIST_DEFAULT = 100
export const LIST_MAX = 1000

/** Bytes the server holds for one subscriber before it serves it from disk instead. */
export const SUBSCRIBER_BYTES_MAX = MIB
export const HEARTBEAT_MS = 15_000

/** One of the two halves of the log buffer. */
export const SLOT_BYTES = MIB
export const JOURNAL_FILE_BYTES = 16 * MIB
/** Journal written since the last write-back; bounds the work of a start. */
export const JOURNAL_BYTES_MAX = 64 * MIB
/**
 * Quiet time after which an empty block records that the last one is durable (faults.md, rule 6).
 */
export const IDLE_SEAL_MS = 50
export const RELAXED_FLUSH_MS = 200

export const SEGMENT_BYTES_DEFAULT = 64 * MIB
export const SEGMENT_BYTES_MIN = 64 * KIB
/** Positions inside a segment are unsigned 32-bit numbers in the offset index. */
export const SEGMENT_BYTES_MAX = 1024 * MIB

/** Records of one append that go straight to their segment; measured, see ARCHITECTURE.md. */
export const DIRECT_BYTES = MIB

/** Signed checkpoints. */
export const CHECKPOINT_EVERY_DEFAULT = 1000
export const CHECKPOINT_EVERY_MAX = 1_000_000
export const CHECKPOINTS_LIST_DEFAULT = 100
export const CHECKPOINTS_LIST_MAX = 1000

/** Retention by age: three centuries. */
export const RETENTION_AGE_SECONDS_MAX = 10_000_000_000

/** Producers: the id's UTF-8 bytes, and how many a stream remembers at a time. */
export const PRODUCER_ID_BYTES_MAX = 128
export const PRODUCERS_MAX = 1000
export const PRODUCER_EXPIRY_SECONDS = 7 * 86_400

/** One transaction. */
export const TRANSACTION_APPENDS_MAX = 100
export const TRANSACTION_TIMEOUT_MS = 10_000

/** Unanswered appends of one session; past it the server stops reading the socket. */
export const SESSION_IN_FLIGHT_MAX = 256
/** Bytes of them, so that no session takes the whole body budget; a longer message goes alone. */
export const SESSION_IN_FLIGHT_BYTES_MAX = 16 * MIB
/** Bytes of answers that a session's client leaves unread before the server stops reading it. */
export const SESSION_ANSWER_BYTES_MAX = 256 * KIB
export const SESSIONS_MAX = 1000

/** What a stream gets where neither its creator nor the service says otherwise. */
export const STREAM_CONFIG_DEFAULT: StreamConfig = {
  durability: 'group',
  compression: 'none',
  maxSegmentBytes: SEGMENT_BYTES_DEFAULT,
  checkpointEvery: CHECKPOINT_EVERY_DEFAULT,
  retention: {},
}

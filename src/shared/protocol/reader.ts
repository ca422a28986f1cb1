import type { PlainError } from '../errors.ts'
import type { ReadPlan } from './shard.ts'
import type { ReadPage, ReadRequest, VerifyReport } from './streams.ts'

// What the front end asks of the reader threads. They see files, never a shard's memory.

export type ReaderRequest =
  | {
      readonly kind: 'open'
      readonly data: string
      /** The count asked for; undefined takes what the directory has. */
      readonly shards: number | undefined
    }
  | {
      readonly kind: 'read'
      readonly data: string
      readonly plan: ReadPlan
      readonly request: ReadRequest
    }
  | {
      readonly kind: 'verify'
      readonly data: string
      /** From the first record, with the whole tail. */
      readonly plan: ReadPlan
      readonly from: number
      readonly to: number
    }

/** A segment whose index was wrong, to be rebuilt by its owner. */
type StaleIndex = { readonly segment: number; readonly bytes: number }

export type ReaderReply =
  | { readonly kind: 'opened'; readonly shards: number }
  | { readonly kind: 'page'; readonly page: ReadPage; readonly staleIndex: StaleIndex | undefined }
  | { readonly kind: 'verified'; readonly report: VerifyReport }
  | { readonly kind: 'error'; readonly error: PlainError }

import type { PlainError } from '../errors.ts'
import type { ReadPlan, ShardOptions } from './shard.ts'
import type { CheckpointPage, PublicKey, ReadPage, ReadRequest, VerifyReport } from './streams.ts'

// What the front end asks of the reader threads. They see files, never a shard's memory.

export type ReaderRequest =
  | {
      readonly kind: 'open'
      readonly data: string
      /** The count asked for; undefined takes what the directory has, 1 for a new one. */
      readonly shards: number | undefined
      readonly options: ShardOptions
      /** PKCS8 PEM of the key to sign with; undefined: the directory's own, made if new. */
      readonly signingKey: string | undefined
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
  | {
      readonly kind: 'checkpoints'
      readonly data: string
      /** With the whole tail. */
      readonly plan: ReadPlan
      readonly from: number
      readonly limit: number
    }
  | {
      readonly kind: 'keys'
      readonly data: string
      /** latin1; of the key in use */
      readonly activeKeyId: string
    }

/** What a change of the shard count did; for the log. */
export type ReshardReport = {
  readonly from: number
  readonly to: number
  readonly streams: number
  readonly milliseconds: number
}

/** A segment whose index was wrong, to be rebuilt by its owner. */
export type StaleIndex = {
  readonly segment: number
  readonly firstOffset: number
  readonly bytes: number
}

export type ReaderReply =
  | {
      readonly kind: 'opened'
      readonly shards: number
      /** Files of the directory's header that were damaged, missing or behind. */
      readonly mended: readonly string[]
      /** Where the directory had another count before. */
      readonly resharded: ReshardReport | undefined
      readonly signingKey: string
      readonly keyId: string
    }
  | {
      readonly kind: 'page'
      readonly page: ReadPage
      readonly staleIndex: StaleIndex | undefined
      /** Whether the manifest did not name the segments that were read. */
      readonly isManifestStale: boolean
    }
  | { readonly kind: 'verified'; readonly report: VerifyReport }
  | { readonly kind: 'checkpoints'; readonly page: CheckpointPage }
  | {
      readonly kind: 'keys'
      readonly keys: readonly PublicKey[]
      readonly damaged: readonly string[]
    }
  | { readonly kind: 'error'; readonly error: PlainError }
  /** A defect of ours, for the log. */
  | { readonly kind: 'defect'; readonly reason: string }

import type { PublicKey } from './streams.ts'

// What the `keys` commands ask of src/workers/keys.ts, a thread that ends after its one message.
// The request is the thread's `workerData`.

export type KeysRequest = {
  /** `rotate` needs the data directory for itself. */
  readonly kind: 'list' | 'rotate'
  /** Data directory. */
  readonly data: string
}

export type KeysMessage =
  | {
      readonly kind: 'keys'
      readonly keys: readonly PublicKey[]
      /** Files that do not hold the key that their name says, relative to the data directory. */
      readonly damaged: readonly string[]
      /** Of the key that was in use before a rotation, where there was one. */
      readonly replaced?: string
    }
  /** It could not be done. */
  | { readonly kind: 'failed'; readonly reason: string }

import type { StreamEntry } from '../../shared/format/catalogue.ts'
import { checkpointOf } from '../../shared/format/checkpoint.ts'
import { isStreamIdOf } from '../../shared/format/stream-id.ts'
import { stateHashOf, type StreamState } from '../../shared/format/stream-state.ts'
import { unsignedReason } from './checkpoint-check.ts'
import { readConfig } from './stream-config.ts'

// Nothing that a file says of a stream beside its records is believed unless it is bound:
//
//   name, state at creation    by the stream id, which every chain hash covers
//   state since a change       by the checkpoint that came with the last change: the catalogue has
//                              a copy of it, so that no file of the stream need be opened

/** What is said of a stream, and what it is to be compared with. Hashes and ids are latin1. */
export type StreamClaim = {
  readonly name: string
  readonly streamId: string
  readonly state: StreamState
  readonly creationHash: string
  readonly stateCheckpoint: string
}

const UNBOUND = 'the stream id was made for another name or another state at creation'
const ALTERED = 'its configuration, closed, first offset or creation time is not what was signed'

/** Returns why a stream cannot be believed, as far as hashes tell; undefined if it can. */
export function hashFault(claim: StreamClaim): string | undefined {
  const { name, streamId, state, creationHash } = claim
  if (!isStreamIdOf(streamId, creationHash, name)) return UNBOUND
  return signedStateHash(claim) === stateHashOf(state) ? undefined : ALTERED
}

/**
 * Returns why the checkpoint that signs a stream's state cannot be believed; undefined if it can.
 * @param keys raw public keys by id, all latin1
 */
export function signatureFault(
  { streamId, stateCheckpoint }: Pick<StreamClaim, 'streamId' | 'stateCheckpoint'>,
  keys: ReadonlyMap<string, string>,
): string | undefined {
  if (stateCheckpoint === '') return undefined
  const reason = unsignedReason(stateCheckpoint, streamId, keys)
  return reason && `the checkpoint that signs its configuration and state ${reason}`
}

/** Returns the hash of the state that was signed last, or that the stream was created with. */
export function signedStateHash({
  creationHash,
  stateCheckpoint,
}: Pick<StreamClaim, 'creationHash' | 'stateCheckpoint'>): string | undefined {
  return stateCheckpoint === '' ? creationHash : checkpointOf(stateCheckpoint)?.stateHash
}

export function claimOf(entry: StreamEntry): StreamClaim {
  const { name, streamId, createdAt, closed, firstOffset, creationHash, stateCheckpoint } = entry
  const state = { createdAt, config: readConfig(entry.config), closed, firstOffset }
  return { name, streamId, state, creationHash, stateCheckpoint }
}

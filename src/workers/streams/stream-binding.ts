import type { StreamEntry } from '../../shared/format/catalogue.ts'
import { checkpointOf } from '../../shared/format/checkpoint.ts'
import { type Operation, OperationType } from '../../shared/format/operation.ts'
import { isStreamIdOf } from '../../shared/format/stream-id.ts'
import { stateHashOf, type StreamState } from '../../shared/format/stream-state.ts'
import { unsignedReason } from './checkpoint-check.ts'
import { readConfig } from './stream-config.ts'

// A stream's name and state are believed only if a hash or a signature vouches for them:
//
//   name, state at creation    the stream id commits to both, and every chain hash covers the id
//   state after a change       the checkpoint of the last change signs it; the catalogue has a copy
//                              of that checkpoint, so no file of the stream need be opened

/** A stream's name and state, and the hashes to compare them with. Hashes and ids are latin1. */
export type StreamClaim = {
  readonly name: string
  readonly streamId: string
  readonly state: StreamState
  readonly creationHash: string
  readonly stateCheckpoint: string
}

const UNBOUND = 'the stream id was made for another name or another state at creation'
const ALTERED = 'its configuration, closed, first offset or creation time is not what was signed'

/** Returns why the hashes do not match the claim; undefined if they do. */
export function hashFault(claim: StreamClaim): string | undefined {
  const { name, streamId, state, creationHash } = claim
  if (!isStreamIdOf(streamId, creationHash, name)) return UNBOUND
  return signedStateHash(claim) === stateHashOf(state) ? undefined : ALTERED
}

/**
 * Returns why the checkpoint that signs a stream's state is not valid; undefined if it is.
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

/** Returns the hash of the last signed state; of the state at creation if it never changed. */
export function signedStateHash({
  creationHash,
  stateCheckpoint,
}: Pick<StreamClaim, 'creationHash' | 'stateCheckpoint'>): string | undefined {
  return stateCheckpoint === '' ? creationHash : checkpointOf(stateCheckpoint)?.stateHash
}

/** Returns the state of a stream after an operation of the journal. */
export function stateAfter(state: StreamState, operation: Operation): StreamState {
  const { type } = operation
  if (type === OperationType.Configure) return { ...state, config: readConfig(operation.config) }
  if (type === OperationType.Close) return { ...state, closed: true }
  if (type !== OperationType.Trim) return state
  return { ...state, firstOffset: Math.max(state.firstOffset, operation.before) }
}

export function claimOf(entry: StreamEntry): StreamClaim {
  const { name, streamId, createdAt, closed, firstOffset, creationHash, stateCheckpoint } = entry
  const state = { createdAt, config: readConfig(entry.config), closed, firstOffset }
  return { name, streamId, state, creationHash, stateCheckpoint }
}

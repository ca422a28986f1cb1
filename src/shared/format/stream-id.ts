import { hash } from 'node:crypto'

// The id of a stream commits to its name and to the state that it was created with: 6 random bytes,
// then the first 10 of a hash over them, the hash of that state, and the name. Every chain hash
// covers the id, so the chain covers both too.
//
// Of the hash 10 bytes are kept: a forger may vary the configuration and the time of creation until
// an id fits, and that takes 2^80 tries. 6 random bytes suffice to tell apart streams with the same
// name and configuration that are created within the same millisecond.

const STREAM_ID_DOMAIN = 'varve.stream.v1\0'
/** Random bytes at the front of a stream id. */
export const STREAM_NONCE_BYTES = 6

/**
 * Returns the id (16 bytes as latin1) of a stream.
 * @param nonce 6 random bytes as latin1
 * @param creationHash hash of the state that it is created with, 32 bytes as latin1
 */
export function streamIdOf(nonce: string, creationHash: string, name: string): string {
  const fixed = Buffer.from(STREAM_ID_DOMAIN + nonce + creationHash, 'latin1')
  const digest = hash('sha256', Buffer.concat([fixed, Buffer.from(name)]), 'latin1')
  return nonce + digest.slice(0, 16 - STREAM_NONCE_BYTES)
}

/** Returns whether the id (latin1) was made for the name and the state at creation. */
export function isStreamIdOf(streamId: string, creationHash: string, name: string): boolean {
  return streamIdOf(streamId.slice(0, STREAM_NONCE_BYTES), creationHash, name) === streamId
}

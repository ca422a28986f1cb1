import { hash } from 'node:crypto'

// The id of a stream commits to its name: 8 random bytes, then the first 8 of a hash over them and
// the name. Every chain hash covers the id, so the chain covers the name too. The random bytes are
// in the id itself, so no input is left to vary: an id fits a given other name by chance alone, one
// time in 2^64.

const STREAM_ID_DOMAIN = 'varve.stream.v1\0'
/** Random bytes at the front of a stream id. */
export const STREAM_NONCE_BYTES = 8

/** Returns the id (16 bytes as latin1) of a stream. @param nonce 8 random bytes as latin1 */
export function streamIdOf(nonce: string, name: string): string {
  const input = Buffer.concat([Buffer.from(STREAM_ID_DOMAIN + nonce, 'latin1'), Buffer.from(name)])
  return nonce + hash('sha256', input, 'latin1').slice(0, 16 - STREAM_NONCE_BYTES)
}

/** Returns whether the id (latin1) was made for the name. */
export function isStreamIdOf(streamId: string, name: string): boolean {
  return streamIdOf(streamId.slice(0, STREAM_NONCE_BYTES), name) === streamId
}

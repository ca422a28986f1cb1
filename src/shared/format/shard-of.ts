import { crc32 } from 'node:zlib'

/**
 * The shard that owns a stream: CRC-32 of its name in UTF-8, modulo the number of shards. Part of
 * the format: a directory's journals and catalogues are laid out by it.
 */
export function shardOf(stream: string, shards: number): number {
  return shards === 1 ? 0 : crc32(stream) % shards
}

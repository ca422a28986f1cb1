import {
  encodeStreamEntry,
  placeEntries,
  type StreamEntry,
  streamEntryBytesMax,
} from '../../src/shared/format/catalogue.ts'
import { hexToLatin1 } from '../../src/shared/format/bytes.ts'

export const CATALOGUE_SALT = hexToLatin1('c0c1c2c3c4c5c6c7')

export function encodeEntry(entry: StreamEntry): Buffer {
  const { name, config, producers, unwritten } = entry
  const bytes = Buffer.alloc(streamEntryBytesMax(name, config, producers, unwritten))
  return bytes.subarray(0, encodeStreamEntry(bytes, 0, entry))
}

/** An entry as it lies in the catalogue of the examples, at byte `position`. */
export function placed(entry: Buffer, position: number): Buffer {
  return placeEntries([entry], { salt: CATALOGUE_SALT, position })
}

import { crc32 } from 'node:zlib'

// Small files that a person may want to read (varve.json, manifest.json) are JSON with a checksum
// that makes a flipped bit show:
//
//   {"crc32":"1a2b3c4d","body":<JSON>}\n      CRC-32 of the bytes of <JSON>, 8 hex digits

const PREFIX = '{"crc32":"'
const MIDDLE = '","body":'
const SUFFIX = '}\n'
const BODY_AT = PREFIX.length + 8 + MIDDLE.length

export function encodeSealedJson(body: unknown): Buffer {
  return seal(JSON.stringify(body))
}

/** The body; undefined unless the file is whole. */
export function decodeSealedJson(bytes: Buffer): unknown {
  const text = bytes.toString('utf8', BODY_AT, bytes.length - SUFFIX.length)
  // Bytes are compared, not text: what is not UTF-8 would read as U+FFFD, which is.
  if (text === '' || !bytes.equals(seal(text))) return undefined
  return JSON.parse(text)
}

function seal(text: string): Buffer {
  return Buffer.from(PREFIX + digits(text) + MIDDLE + text + SUFFIX)
}

function digits(text: string): string {
  return crc32(text).toString(16).padStart(8, '0')
}

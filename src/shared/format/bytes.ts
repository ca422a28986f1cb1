const TWO_TO_32 = 0x1_0000_0000

/** Unsigned, little-endian, 64 bits; `value` is a safe integer. */
export function writeU64(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32LE(value % TWO_TO_32, at)
  bytes.writeUInt32LE(Math.floor(value / TWO_TO_32), at + 4)
}

/** `writeU64` through a view, which costs a tenth: for what is written per record. */
export function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % TWO_TO_32, true)
  view.setUint32(at + 4, Math.floor(value / TWO_TO_32), true)
}

export function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * Unsigned, little-endian, 64 bits. NaN past 2^53 - 1: no comparison with it holds, so checks
 * refuse it.
 */
export function readU64(bytes: Buffer, at: number): number {
  const value = bytes.readUInt32LE(at + 4) * TWO_TO_32 + bytes.readUInt32LE(at)
  return Number.isSafeInteger(value) ? value : Number.NaN
}

/** Whether `[start, end)` holds nothing but zeros. */
export function isZero(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) {
    if (bytes[at] !== 0) return false
  }
  return true
}

/** `bytes` rounded up to a multiple of `unit`. */
export function roundUp(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit
}

/**
 * Hashes and ids live in memory as latin1 strings: one byte a character, comparable, cheap to
 * write.
 */
export function latin1ToHex(text: string): string {
  return Buffer.from(text, 'latin1').toString('hex')
}

export function hexToLatin1(hex: string): string {
  return Buffer.from(hex, 'hex').toString('latin1')
}

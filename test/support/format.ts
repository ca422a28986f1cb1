import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { crc32 } from 'node:zlib'
import * as assert from 'uvu/assert'
import { StoreError } from '../../src/shared/errors.ts'
import type { LayoutTable } from '../../src/shared/format/layout.ts'

const ROOT = resolve(import.meta.dirname, '../../..')

/** Undefined or false: rejected. */
type Decode = (bytes: Buffer) => unknown

/** Where a structure's CRC-32 lies; covered is all before it and, up to `coveredTo`, after it. */
export type Seal = { readonly checksumAt: number; readonly coveredTo?: number }

/** What an absurd length may take, of all memory outside the heap. */
const ALLOCATION_BYTES_MAX = 1024 * 1024

/** Golden bytes: written once, changed only together with the format's version. */
export function golden(name: string): Buffer {
  return readFileSync(resolve(ROOT, `test/golden/${name}.bin`))
}

export function readFormatReadme(): string {
  return readFileSync(resolve(ROOT, 'src/shared/format/README.md'), 'utf8')
}

export function assertRejectsPrefixes(bytes: Buffer, decode: Decode): void {
  assert.ok(decode(bytes), 'the whole is accepted')
  for (let length = 0; length < bytes.length; length += 1) {
    // A copy, so that no decoder can look past its end.
    assert.not.ok(decode(Buffer.from(bytes.subarray(0, length))), `accepted: ${length} bytes`)
  }
}

export function assertRejectsFlips(bytes: Buffer, decode: Decode): void {
  assert.ok(decode(bytes), 'the whole is accepted')
  const copy = Buffer.from(bytes)
  for (let bit = 0; bit < 8 * bytes.length; bit += 1) {
    const at = bit >>> 3
    copy[at] = (copy[at] as number) ^ (1 << (bit & 7))
    assert.not.ok(decode(copy), `accepted: bit ${bit & 7} of byte ${at} flipped`)
    copy[at] = bytes[at] as number
  }
}

/** Each byte of the fields set alone, with a right checksum, is rejected. `at`: of the table. */
export function assertRejectsSet(
  bytes: Buffer,
  { table, at = 0, fields }: { table: LayoutTable; at?: number; fields: readonly string[] },
  seal: Seal | undefined,
  decode: Decode,
): void {
  assert.ok(decode(patched(bytes, 0, bytes[0] as number, seal)), 'sealed again, it is accepted')
  for (const field of fields) {
    const [start, width] = table[field] as readonly [number, number]
    for (let byte = at + start; byte < at + start + width; byte += 1) {
      assert.is(bytes[byte], 0, `${field} is zero`)
      assert.not.ok(decode(patched(bytes, byte, 1, seal)), `accepted: byte ${byte}, ${field}`)
    }
  }
}

/** A length field of nothing but ones is rejected, and nothing is allocated for it. */
export function assertRejectsLength(
  bytes: Buffer,
  [at, width]: readonly [number, number],
  decode: Decode,
): void {
  const copy = Buffer.from(bytes)
  copy.fill(0xff, at, at + width)
  const before = process.memoryUsage().arrayBuffers
  assert.not.ok(decode(copy))
  assert.ok(process.memoryUsage().arrayBuffers - before < ALLOCATION_BYTES_MAX)
}

/** A copy with one byte changed and the checksum, if any, made right again. */
export function patched(bytes: Buffer, at: number, value: number, seal?: Seal): Buffer {
  const copy = Buffer.from(bytes)
  copy[at] = value
  if (seal === undefined) return copy
  const { checksumAt, coveredTo = 0 } = seal
  const before = crc32(copy.subarray(0, checksumAt))
  const after = coveredTo > checksumAt ? copy.subarray(checksumAt + 4, coveredTo) : Buffer.alloc(0)
  copy.writeUInt32LE(crc32(after, before), checksumAt)
  return copy
}

/** The code of the StoreError that `run` throws. */
export function storeErrorCode(run: () => unknown): string | undefined {
  try {
    run()
  } catch (error) {
    if (error instanceof StoreError) return error.code
    throw error
  }
  return undefined
}

const ITEM_HEADER_BYTES = 8

/** The batch encoding of docs/guide.md: binary records without headers. */
export function batchOf(records: number, recordBytes: number): Buffer {
  const item = Buffer.alloc(ITEM_HEADER_BYTES + recordBytes, 'x')
  item.fill(0, 0, ITEM_HEADER_BYTES)
  item.writeUInt32LE(recordBytes, 0)
  return Buffer.concat(Array.from({ length: records }, () => item))
}

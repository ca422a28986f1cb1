import { StoreError } from '../../shared/errors.ts'
import type { AppendLimits } from './http-config.ts'
import { JsonReader } from './json-reader.ts'

// The bounds of api.md on one append, whatever its content type.

/** The records of one append in the batch encoding. */
export type EncodedBatch = { readonly batch: Buffer; readonly count: number }

/** @throws StoreError record_too_large */
export function checkBodyLength(length: number, index: number, limits: AppendLimits): void {
  const { recordBytesMax } = limits
  if (length <= recordBytesMax) return
  throw new StoreError(
    'record_too_large',
    `record ${index} has ${length} bytes, ${recordBytesMax} are allowed`,
    { recordBytesMax },
  )
}

/** @throws StoreError invalid_request */
export function checkCount(count: number, limits: AppendLimits): void {
  if (count === 0) throw invalid('the body has no records')
  if (count > limits.batchRecordsMax) throw tooMany(limits)
}

/**
 * Checks that `[start, end)` is a JSON object of strings within the limits, and counts its members.
 * @param bytes valid UTF-8
 * @throws StoreError invalid_request
 */
export function countHeaders(
  bytes: Buffer,
  start: number,
  end: number,
  index: number,
  { headersMax, headersBytesMax }: AppendLimits,
): number {
  const what = `headers of record ${index}`
  if (end - start > headersBytesMax)
    throw invalid(`${what} take more than ${headersBytesMax} bytes`)
  const reader = new JsonReader(bytes, what, start, end)
  if (!reader.isObject) throw invalid(`${what} are not an object`)
  let count = 0
  for (let more = reader.enterObject(); more; more = reader.nextMember()) {
    if (!reader.isString) throw invalid(`a header of record ${index} is not a string`)
    reader.readValue()
    count += 1
  }
  reader.finish()
  if (count > headersMax) throw invalid(`record ${index} has more than ${headersMax} headers`)
  return count
}

export function tooMany({ batchRecordsMax }: AppendLimits): StoreError {
  return invalid(`the body has more than ${batchRecordsMax} records`)
}

export function invalid(detail: string): StoreError {
  return new StoreError('invalid_request', detail)
}

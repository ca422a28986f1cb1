import { StoreError } from '../../shared/errors.ts'
import { checkStreamName } from '../../shared/format/stream-name.ts'
import { TransactionEnvelope } from '../../shared/schemas/transactions.ts'
import type { TransactionAppend } from '../store.ts'
import { encodeJsonRecords, parseJson } from './append-body.ts'
import type { AppendLimits } from './http-config.ts'

type Target = TransactionEnvelope['appends'][number]

/**
 * `{"appends": [{stream, expectedOffset?, records: [...]}]}`; one bad item refuses the whole body,
 * and the limits of one append hold for all of its records together.
 * @throws StoreError invalid_request, invalid_stream_name, record_too_large
 */
export function readTransaction(body: Buffer, limits: AppendLimits): TransactionAppend[] {
  const parsed = TransactionEnvelope.safeParse(parseJson(body, 'the body'))
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`)
    throw invalid(`the body: ${faults.map(fault => fault.trim()).join('; ')}`)
  }
  const targets = parsed.data.appends
  checkCount(targets, limits)
  const names = new Set<string>()
  return targets.map((target, index) => {
    const append = at(index, () => readAppend(target, limits))
    if (names.has(append.stream)) throw invalid(`append ${index}: the stream is named twice`)
    names.add(append.stream)
    return append
  })
}

function checkCount(targets: readonly Target[], { batchRecordsMax }: AppendLimits): void {
  const count = targets.reduce((sum, { records }) => sum + records.length, 0)
  if (count > batchRecordsMax) {
    throw invalid(`the body has ${count} records, ${batchRecordsMax} are allowed`)
  }
}

function readAppend(
  { stream, expectedOffset, records }: Target,
  limits: AppendLimits,
): TransactionAppend {
  return {
    stream: checkStreamName(stream),
    ...encodeJsonRecords(records, limits),
    ...(expectedOffset === undefined ? {} : { expectedOffset }),
  }
}

/** Says which of the appends a failure is about. */
function at<Value>(index: number, read: () => Value): Value {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    throw new StoreError(error.code, `append ${index}: ${error.message}`, error.fields)
  }
}

function invalid(detail: string): StoreError {
  return new StoreError('invalid_request', detail)
}

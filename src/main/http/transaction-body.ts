import { StoreError } from '../../shared/errors.ts'
import { checkStreamName } from '../../shared/format/stream-name.ts'
import { TRANSACTION_APPENDS_MAX } from '../../shared/limits.ts'
import { TransactionTarget } from '../../shared/schemas/transactions.ts'
import type { TransactionAppend } from '../store.ts'
import { checkCount, invalid } from './append-checks.ts'
import type { AppendLimits } from './http-config.ts'
import {
  checkMembers,
  type JsonMembers,
  readerOf,
  readJsonObject,
  readMembers,
  valuesOf,
} from './json-envelope.ts'
import type { JsonReader } from './json-reader.ts'
import { encodeJsonRecords } from './json-records.ts'

const SHAPE = '{"appends": [{"stream", "records": [...]}]}'
const TARGET_MEMBERS = ['stream', 'expectedOffset']

/**
 * `{"appends": [{stream, expectedOffset?, records: [...]}]}`; one bad item refuses the whole body,
 * and the limits of one append hold for all of its records together.
 * @throws StoreError invalid_request, invalid_stream_name, record_too_large
 */
export function readTransaction(body: Buffer, limits: AppendLimits): TransactionAppend[] {
  const members = readJsonObject(body, 'the body', SHAPE)
  checkMembers(members, ['appends'], 'the body')
  const reader = readerOf(body, 'the body', members.get('appends'))
  if (!reader.isArray) throw invalid(`the body must be ${SHAPE}`)
  const appends: TransactionAppend[] = []
  const names = new Set<string>()
  let count = 0
  for (let more = reader.enterArray(); more; more = reader.nextElement()) {
    if (appends.length === TRANSACTION_APPENDS_MAX) {
      throw invalid(`the body has more than ${TRANSACTION_APPENDS_MAX} appends`)
    }
    const append = at(appends.length, () => readAppend(body, reader, limits))
    if (names.has(append.stream)) {
      throw invalid(`append ${appends.length}: the stream is named twice`)
    }
    names.add(append.stream)
    appends.push(append)
    count += append.count
    checkCount(count, limits)
  }
  if (appends.length === 0) throw invalid('the body has no appends')
  return appends
}

function readAppend(body: Buffer, reader: JsonReader, limits: AppendLimits): TransactionAppend {
  if (!reader.isObject) throw invalid('it is not an object')
  const members = readMembers(reader)
  const { stream, expectedOffset } = readTarget(body, members)
  return {
    stream: checkStreamName(stream),
    ...encodeJsonRecords(body, readerOf(body, 'the body', members.get('records')), limits),
    ...(expectedOffset === undefined ? {} : { expectedOffset }),
  }
}

function readTarget(body: Buffer, members: JsonMembers): TransactionTarget {
  checkMembers(members, [...TARGET_MEMBERS, 'records'], 'it')
  const target = TransactionTarget.safeParse(valuesOf(body, members, TARGET_MEMBERS))
  if (target.success) return target.data
  const faults = target.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`)
  throw invalid(faults.join('; '))
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

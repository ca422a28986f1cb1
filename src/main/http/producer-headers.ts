import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { StoreError } from '../../shared/errors.ts'
import { PRODUCER_ID_BYTES_MAX } from '../../shared/limits.ts'
import type { Producer } from '../../shared/protocol/streams.ts'

/**
 * `Producer-Id`, `Producer-Epoch` and `Producer-Seq` of an append; undefined where none is there.
 * @throws StoreError invalid_request when one is missing, given twice, or not what it has to be
 */
export function readProducer(request: IncomingMessage): Producer | undefined {
  const { headers } = request
  const id = headers['producer-id']
  const epoch = headers['producer-epoch']
  const seq = headers['producer-seq']
  if (id === undefined && epoch === undefined && seq === undefined) return undefined
  if (id === undefined || epoch === undefined || seq === undefined) {
    throw invalid('Producer-Id, Producer-Epoch and Producer-Seq come all three or not at all')
  }
  // Node joins what is given twice, and a joined id would name another producer.
  const { headersDistinct } = request
  for (const name of ['producer-id', 'producer-epoch', 'producer-seq']) {
    if (headersDistinct[name]?.length !== 1) throw invalid(`${name} is given more than once`)
  }
  return {
    id: readId(String(id)),
    epoch: readInteger('Producer-Epoch', String(epoch)),
    seq: readInteger('Producer-Seq', String(seq)),
  }
}

/** Node takes the bytes of a header for latin1; an id is UTF-8, as in an append session. */
function readId(value: string): string {
  const bytes = Buffer.from(value, 'latin1')
  if (bytes.length === 0 || bytes.length > PRODUCER_ID_BYTES_MAX) {
    throw invalid(
      `Producer-Id has ${bytes.length} bytes, 1 to ${PRODUCER_ID_BYTES_MAX} are allowed`,
    )
  }
  if (!isUtf8(bytes)) throw invalid('Producer-Id is not valid UTF-8')
  return bytes.utf8Slice()
}

function readInteger(name: string, value: string): number {
  const number = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN
  if (Number.isSafeInteger(number)) return number
  throw invalid(`${name} is not an unsigned decimal number up to 2^53 - 1`)
}

function invalid(detail: string): StoreError {
  return new StoreError('invalid_request', detail)
}

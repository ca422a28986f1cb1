import { StoreError } from '../errors.ts'
import { STREAM_NAME_BYTES_MAX } from '../limits.ts'

/** C0, DEL, C1, and surrogates that are not half of a pair: no UTF-8 stands for those. */
const REFUSED = /[\p{Cc}\p{Cs}]/u
const REFUSED_SEGMENT = /(?:^|\/)\.{0,2}(?:\/|$)/
/** A name of these alone breaks no rule but the one on segments and length. */
const PLAIN = /^[\w-]{1,64}$/

/**
 * A name that api.md allows (Streams), as it is.
 * @throws StoreError invalid_stream_name
 */
export function checkStreamName(name: string): string {
  if (PLAIN.test(name)) return name
  const fault = findFault(name)
  if (fault !== undefined) throw new StoreError('invalid_stream_name', `the stream name ${fault}`)
  return name
}

function findFault(name: string): string | undefined {
  if (name === '') return 'is empty'
  if (name.length > STREAM_NAME_BYTES_MAX || Buffer.byteLength(name) > STREAM_NAME_BYTES_MAX) {
    return `is longer than ${STREAM_NAME_BYTES_MAX} bytes of UTF-8`
  }
  if (REFUSED.test(name)) return 'has a control character or half of a surrogate pair'
  if (REFUSED_SEGMENT.test(name)) return 'has an empty, "." or ".." segment'
  return name === name.normalize('NFC') ? undefined : 'is not in Unicode normalization form NFC'
}

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeOperation, OperationType } from '../../../src/shared/format/operation.ts'
import {
  decodeReference,
  encodeReference,
  REFERENCE_LAYOUT,
  type Reference,
  referenceBytes,
} from '../../../src/shared/format/reference.ts'
import { golden } from '../../support/format.ts'
import { HEADS } from '../../support/format-samples.ts'
import { STREAM_ID } from '../../support/state-samples.ts'
import { referenceOf } from '../../support/reference-sample.ts'

const REFERENCE = referenceOf(HEADS[1] ?? '')
const PRODUCER = { id: 'importer-ü', epoch: 3, seq: 9 }

function encode(reference: Reference): Buffer {
  const bytes = Buffer.alloc(referenceBytes(reference.producer))
  assert.is(encodeReference(bytes, 0, reference), bytes.length)
  return bytes
}

const format = suite('shared/format/reference')

format('the golden bytes are a reference to one large record', () => {
  const bytes = golden('reference-operation')
  const operation = decodeOperation(bytes, 0, bytes.length)
  assert.equal(operation, {
    type: OperationType.Reference,
    streamId: STREAM_ID,
    end: bytes.length,
    reference: REFERENCE,
  })
})

format('a reference comes back, with its producer and without', () => {
  for (const producer of [undefined, PRODUCER]) {
    const reference = { ...REFERENCE, producer }
    const bytes = encode(reference)
    assert.equal(decodeReference(bytes, 0, bytes.length), reference)
  }
})

format('every truncated prefix is rejected', () => {
  const bytes = encode({ ...REFERENCE, producer: PRODUCER })
  for (let end = 0; end < bytes.length; end += 1) {
    assert.is(decodeReference(bytes, 0, end), undefined, `${end} bytes`)
  }
})

format('reserved bytes, no records and numbers past 2^53 are rejected', () => {
  const [reserved, width] = REFERENCE_LAYOUT.reserved
  const [firstOffset] = REFERENCE_LAYOUT.firstOffset
  for (const at of [reserved, reserved + width - 1, firstOffset + 7]) {
    const bytes = encode(REFERENCE)
    bytes[at] = 1
    assert.is(decodeReference(bytes, 0, bytes.length), undefined, `byte ${at}`)
  }
  const none = encode({ ...REFERENCE, count: 0 })
  assert.is(decodeReference(none, 0, none.length), undefined)
})

format.run()

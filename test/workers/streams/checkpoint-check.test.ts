import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { latin1ToHex } from '../../../src/shared/format/bytes.ts'
import { GENESIS_HASH } from '../../../src/shared/format/chain.ts'
import {
  CHECKPOINT_BODY_LAYOUT,
  CHECKPOINT_RECORD_BYTES,
  StateChange,
} from '../../../src/shared/format/checkpoint.ts'
import { viewRecord } from '../../../src/shared/format/record.ts'
import { Signer } from '../../../src/shared/signing.ts'
import { encodeCheckpoint } from '../../../src/workers/engine/checkpoint-encoder.ts'
import { CheckpointCheck } from '../../../src/workers/streams/checkpoint-check.ts'
import { storeErrorCode } from '../../support/format.ts'

const check = suite('workers/streams/checkpoint-check')

const STREAM_ID = 'i'.repeat(16)
const SIGNER = Signer.fromSeed('s'.repeat(32))
const STRANGER = Signer.fromSeed('t'.repeat(32))
const FIELDS = {
  streamId: STREAM_ID,
  offset: 7,
  recordCount: 7,
  timestamp: 5000,
  chainHead: 'h'.repeat(32),
  trimPoint: { offset: 0, hash: GENESIS_HASH },
  stateHash: 'e'.repeat(32),
  change: StateChange.None,
}

check('what a known key signed is accepted', () => {
  assert.is(fault(FIELDS, SIGNER, STREAM_ID), undefined)
})

check('what an unknown key signed is refused', () => {
  assert.is(fault(FIELDS, STRANGER, STREAM_ID), 'corrupt_record')
})

check('a checkpoint of another stream is refused', () => {
  assert.is(fault(FIELDS, SIGNER, 'j'.repeat(16)), 'corrupt_record')
})

check('a count that is not its offset is refused, signed or not', () => {
  assert.is(fault({ ...FIELDS, recordCount: 8 }, SIGNER, STREAM_ID), 'corrupt_record')
})

check('any other byte under the signature is noticed', () => {
  const bytes = encoded(FIELDS, SIGNER)
  const { bodyAt, bodyEnd } = located(bytes).record
  const flagsAt = bodyAt + CHECKPOINT_BODY_LAYOUT.flags[0]
  for (let at = bodyAt; at < bodyEnd; at += 1) {
    if (at === flagsAt || (at >= flagsAt + 2 && at < flagsAt + 8)) continue // not signed
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] as number) ^ 1
    const refused = storeErrorCode(() => checkOf(STREAM_ID).check(located(changed)))
    assert.is(refused, 'corrupt_record', `byte ${at - bodyAt} of the body`)
  }
})

function fault(fields: typeof FIELDS, signer: Signer, streamId: string): string | undefined {
  const record = located(encoded(fields, signer))
  return storeErrorCode(() => checkOf(streamId).check(record))
}

function checkOf(streamId: string): CheckpointCheck {
  const publicKey = latin1ToHex(SIGNER.publicKey)
  const keyId = latin1ToHex(SIGNER.keyId)
  return new CheckpointCheck(streamId, [{ keyId, publicKey, algorithm: 'Ed25519', active: true }])
}

function encoded(fields: typeof FIELDS, signer: Signer): Buffer {
  const block = Buffer.alloc(256 + CHECKPOINT_RECORD_BYTES)
  encodeCheckpoint(block, 256, signer, fields, false)
  return block.subarray(256)
}

function located(bytes: Buffer) {
  const record = viewRecord(bytes, 0)
  if (record === undefined) throw new Error('an encoded checkpoint is a record')
  return { bytes, record }
}

check.run()

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { GENESIS_HASH } from '../../../src/shared/format/chain.ts'
import { decodeRecord } from '../../../src/shared/format/record.ts'
import type { Finding } from '../../../src/shared/protocol/inspection.ts'
import { ChainCheck } from '../../../src/workers/inspection/chain-check.ts'
import { Draft } from '../../../src/workers/inspection/draft.ts'
import { KeptHeads } from '../../../src/workers/inspection/kept-heads.ts'
import { golden, patched } from '../../support/format.ts'
import { CREATION_HASH, STREAM, STREAM_ID } from '../../support/state-samples.ts'

/** The two records that come before it. */
const SEGMENT = golden('segment').subarray(0, 180)
const COMPRESSED = golden('compressed-record')
/** Of the last record's block: the offset of its match. */
const MATCH_AT = 68 + 7

/** The check of a stream with these bytes, and what it found. */
function follow(bytes: Buffer): { chain: ChainCheck; findings: readonly Finding[] } {
  const findings: Finding[] = []
  const draft = new Draft(
    found => findings.push(...found),
    () => undefined,
  )
  const genesis = { offset: 0, hash: GENESIS_HASH }
  const of = { name: STREAM, streamId: STREAM_ID, trimPoint: genesis, stateHash: CREATION_HASH }
  const trust = { keys: new Map<string, string>(), heads: new KeptHeads([], []) }
  const chain = new ChainCheck('segments', of, genesis, trust, draft)
  for (let at = 0; at < bytes.length; ) {
    const record = decodeRecord(bytes, at)
    assert.ok(record)
    chain.accept({ file: 'segment', at, end: record.end }, bytes, record)
    at = record.end
  }
  draft.finish()
  return { chain, findings }
}

const chainCheck = suite('workers/inspection/chain-check')

chainCheck('a compressed record is linked by its original body', () => {
  const { chain, findings } = follow(Buffer.concat([SEGMENT, COMPRESSED]))
  assert.equal(findings, [])
  assert.is(chain.nextOffset, 3)
})

chainCheck('a compressed body that was changed, its checksum repaired, is named', () => {
  const changed = patched(COMPRESSED, MATCH_AT, 0, { checksumAt: COMPRESSED.length - 8 })
  const { chain, findings } = follow(Buffer.concat([SEGMENT, changed]))
  assert.is(findings.length, 1)
  assert.equal(findings[0]?.offsets, [2, 3])
  assert.match(findings[0]?.reason ?? '', /^record 2 cannot be expanded/)
  assert.equal([chain.nextOffset, chain.head], [3, undefined])
})

chainCheck.run()

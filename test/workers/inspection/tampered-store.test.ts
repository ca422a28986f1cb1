import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RECORD_LAYOUT } from '../../../src/shared/format/record.ts'
import { hexToLatin1, latin1ToHex } from '../../../src/shared/format/bytes.ts'
import { decodeManifest, encodeManifest } from '../../../src/shared/format/manifest.ts'
import { manifestPath, publicKeyPath } from '../../../src/shared/format/paths.ts'
import { KIB, STREAM_CONFIG_DEFAULT } from '../../../src/shared/limits.ts'
import type { Finding } from '../../../src/shared/protocol/inspection.ts'
import type { Checkpoint } from '../../../src/shared/protocol/streams.ts'
import { publicKeyFromPem, publicKeyToPem, Signer } from '../../../src/shared/signing.ts'
import { KeptHeads } from '../../../src/workers/inspection/kept-heads.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import { directoryOf } from '../../support/stream-directory.ts'
import { cutTail, recordsOf, rewriteHistory, sign, swapNames } from '../../support/forger.ts'
import {
  checkpointsIn,
  forgeChecksum,
  recordsIn,
  segmentOf,
  SMALL_OPTIONS,
  StoreMaker,
  verifyStore,
} from '../../support/inspected-store.ts'

const tampered = suite('workers/inspection/tampered-store')

/** One long segment, a checkpoint every 4 records. */
const OPTIONS = {
  ...SMALL_OPTIONS,
  journalFileBytes: 96 * KIB,
  defaultConfig: { ...STREAM_CONFIG_DEFAULT, maxSegmentBytes: 64 * KIB, checkpointEvery: 4 },
}
const FORGER = Signer.fromSeed('f'.repeat(32))

type Store = {
  readonly disk: FlatDisk
  readonly path: string
  /** Signed when the stream had 10 records, of 14. */
  readonly head: Checkpoint
  /** The key of the service, as somebody kept it. */
  readonly key: string
}

function store(): Store {
  const maker = new StoreMaker(OPTIONS)
  maker.append('orders', 10)
  const head = maker.checkpoint('orders')
  maker.append('orders', 4)
  maker.stop()
  const { disk } = maker.copy()
  const file = disk.paths().find(path => path.endsWith('.pub')) ?? ''
  const key = publicKeyFromPem(disk.content(file).toString()) ?? ''
  return { disk, path: segmentOf(disk, 'orders', 0), head, key: latin1ToHex(key) }
}

function withHead(disk: FlatDisk, head: Checkpoint, ...keys: string[]): readonly Finding[] {
  return verifyStore(disk, new KeptHeads([{ source: 'head.json', checkpoint: head }], keys))
    .findings
}

function reasons(findings: readonly Finding[]): string[] {
  return findings.map(({ file, stream, offsets, reason }) =>
    [file, stream, offsets?.join('-'), reason].join(' · '),
  )
}

/** Puts the forger's keys in the place of those of the directory. */
function exchangeKeys(disk: FlatDisk): void {
  for (const path of disk.paths().filter(name => name.startsWith('keys/'))) disk.remove(path)
  disk.put(publicKeyPath(FORGER.keyId), Buffer.from(publicKeyToPem(FORGER.publicKey)))
}

tampered('a store that nobody touched has the head that was kept', () => {
  const { disk, head, key } = store()
  assert.equal(withHead(disk, head, key), [])
  const { report } = verifyStore(disk, new KeptHeads([{ source: '', checkpoint: head }], [key]))
  assert.equal([report?.ok, report?.heads, report?.checkpoints], [true, 1, 4])
})

tampered('a tail that was cut everywhere is told by a kept head alone', () => {
  const { disk, path, head, key } = store()
  const cut = recordsIn(disk.content(path))[9]
  cutTail(disk, 'orders', path, cut?.at ?? 0)

  assert.equal(verifyStore(disk).damages, [])
  assert.equal(reasons(withHead(disk, head, key)), [
    'head.json · orders · 9-10 · the log is shorter than the head: it ends at 9',
  ])
})

tampered('a cut that takes the signed checkpoint alone is told', () => {
  const { disk, path, head, key } = store()
  cutTail(disk, 'orders', path, checkpointsIn(disk.content(path))[2]?.at ?? 0)

  assert.equal(verifyStore(disk).damages, [])
  assert.match(reasons(withHead(disk, head, key))[0] ?? '', 'the head is of is not in the log')
})

tampered('an older copy of the whole directory is told by a kept head', () => {
  const maker = new StoreMaker(OPTIONS)
  maker.append('orders', 6)
  maker.store()
  const older = maker.copy().disk
  maker.append('orders', 2)
  const head = maker.checkpoint('orders')

  assert.equal(verifyStore(older).damages, [])
  const found = reasons(withHead(older, head)).at(-1) ?? ''
  assert.match(found, 'orders · 6-8 · the log is shorter than the head: it ends at 6')
})

tampered('a history made anew is told by the next signature', () => {
  const { disk, path } = store()
  rewriteHistory(disk, 'orders', path, 5)

  const { damages } = verifyStore(disk)
  assert.ok(damages.length > 0)
  assert.match(damages[0]?.reason ?? '', 'the checkpoint before record 8 has a signature that is')
  assert.is(damages[0]?.stream, 'orders')
})

tampered('a history made anew and signed by another key is told by the key', () => {
  const { disk, path } = store()
  rewriteHistory(disk, 'orders', path, 5, FORGER)

  const [first] = verifyStore(disk).damages
  const keyId = latin1ToHex(FORGER.keyId)
  assert.is(
    first?.reason,
    `the checkpoint before record 8 is signed with key ${keyId}, which is not in keys/`,
  )
})

tampered('one whose keys were exchanged too is told by a head and the key kept with it', () => {
  const { disk, path, head, key } = store()
  rewriteHistory(disk, 'orders', path, 0, FORGER)
  exchangeKeys(disk)

  assert.equal(verifyStore(disk).damages, [])
  assert.equal(reasons(withHead(disk, head, key)), [
    'head.json · orders · 0-10 · the log differs from the head: records before it were changed',
  ])
  assert.match(reasons(withHead(disk, head)).at(-1) ?? '', 'which is not in keys/')
})

tampered('a record hash in the manifest that is another is named', () => {
  const maker = new StoreMaker()
  maker.append('orders', 20)
  maker.stop()
  const { disk } = maker.copy()
  const path = manifestPath(directoryOf(disk, 'orders'))
  const manifest = decodeManifest(disk.content(path))
  assert.ok(manifest && manifest.sealed.length > 0)
  const sealed = manifest.sealed.map(range => ({ ...range, recordHash: range.chainHead }))
  disk.put(path, encodeManifest({ ...manifest, sealed }))
  assert.match(
    reasons(verifyStore(disk).damages)[0] ?? '',
    'the manifest names another hash for its last data record',
  )
})

tampered('names of two streams that were swapped are named, though every checksum holds', () => {
  const maker = new StoreMaker()
  for (const stream of ['orders', 'invoices', 'sound']) maker.append(stream, 20)
  maker.stop()
  const { disk } = maker.copy()
  swapNames(disk, 'orders', 'invoices')
  const { damages } = verifyStore(disk)
  assert.equal(new Set(damages.map(({ stream }) => stream)), new Set(['orders', 'invoices']))
  const named = damages.filter(({ reason }) =>
    reason.startsWith('the stream id was made for another'),
  )
  assert.is(named.length, 2)
})

tampered('exchanged keys alone are told by every checkpoint', () => {
  const { disk } = store()
  exchangeKeys(disk)
  const { damages } = verifyStore(disk)
  assert.is(damages.filter(({ reason }) => /which is not in keys/.test(reason)).length, 4)
})

tampered('a checkpoint that was signed anew by another key is named', () => {
  const { disk, path, head } = store()
  disk.change(path, bytes => {
    const at = checkpointsIn(bytes)[2]?.at ?? 0
    const record = recordsOf(bytes).find(candidate => candidate.at === at)
    if (record !== undefined) sign(bytes, record, hexToLatin1(head.streamId), FORGER)
  })
  const [first] = verifyStore(disk).damages
  assert.match(first?.reason ?? '', /^the checkpoint before record 10 is signed with key/)
})

tampered('what a checkpoint counts is checked though it is signed', () => {
  const { disk, path, head } = store()
  disk.change(path, bytes => {
    const at = checkpointsIn(bytes)[1]?.at ?? 0
    const record = recordsOf(bytes).find(candidate => candidate.at === at)
    if (record === undefined) return
    bytes.writeUInt32LE(7, record.bodyAt)
    sign(bytes, record, hexToLatin1(head.streamId), FORGER)
  })
  disk.put(publicKeyPath(FORGER.keyId), Buffer.from(publicKeyToPem(FORGER.publicKey)))
  assert.match(verifyStore(disk).damages[0]?.reason ?? '', 'before record 8 counts 7 records')
})

tampered('a compressed record is checked by the body that it stands for', () => {
  const maker = new StoreMaker({
    ...OPTIONS,
    defaultConfig: { ...OPTIONS.defaultConfig, compression: 'lz4' },
  })
  for (let record = 0; record < 5; record += 1) maker.appendBody('orders', 'ab'.repeat(400))
  maker.stop()
  const { disk } = maker.copy()
  const path = segmentOf(disk, 'orders', 0)
  assert.equal(verifyStore(disk).findings, [])
  const [first] = recordsOf(disk.content(path))
  assert.is(first?.compression, 1)

  disk.change(path, bytes => {
    bytes.write('c', (first?.bodyAt ?? 0) + 1) // a literal, so that it still expands
    forgeChecksum(bytes, 0)
  })
  const { damages } = verifyStore(disk)
  assert.equal(
    damages.map(({ offsets, reason }) => [offsets, reason]),
    [[[0, 1], 'not as it was written: record 1 does not link to it']],
  )
})

tampered('a compressed record that does not expand is named', () => {
  const maker = new StoreMaker({
    ...OPTIONS,
    defaultConfig: { ...OPTIONS.defaultConfig, compression: 'lz4' },
  })
  maker.appendBody('orders', 'ab'.repeat(400))
  maker.stop()
  const { disk } = maker.copy()
  const path = segmentOf(disk, 'orders', 0)
  for (const rawLength of [801, 0xffffffff]) {
    disk.change(path, bytes => {
      bytes.writeUInt32LE(rawLength, RECORD_LAYOUT.rawLength[0])
      forgeChecksum(bytes, 0)
    })
    const [first] = verifyStore(disk).damages
    assert.equal([first?.file, first?.offsets], [path, [0, 1]])
  }
})

tampered('a changed record whose checksum was repaired is named', () => {
  const { disk, path } = store()
  const place = recordsIn(disk.content(path))[6]
  disk.change(path, bytes => {
    bytes.write('#', (place?.at ?? 0) + 70)
    forgeChecksum(bytes, place?.at ?? 0)
  })
  const { damages } = verifyStore(disk)
  assert.equal(
    damages.map(({ file, offsets }) => [file, offsets]),
    [[path, [6, 7]]],
  )
})

tampered('a head that was forged is refused', () => {
  const { disk, head, key } = store()
  const forged = { ...head, chainHead: '00'.repeat(32) }
  assert.match(reasons(withHead(disk, forged, key))[0] ?? '', 'the signature of the head is not')
  const other = latin1ToHex(FORGER.publicKey)
  const keyId = head.keyId
  assert.match(
    reasons(withHead(disk, head, other))[0] ?? '',
    `the head is signed with key ${keyId}, which is not the one given`,
  )
})

tampered(
  'without a key of its own a head is held against those of the directory, and it says so',
  () => {
    const { disk, head } = store()
    const [note, ...others] = withHead(disk, head)
    assert.equal(others, [])
    assert.is(note?.severity, 'note')
    assert.match(note?.reason ?? '', 'give the key that was kept')
  },
)

tampered('a head of a stream that is not there, or is another one, is named', () => {
  const maker = new StoreMaker(OPTIONS)
  maker.append('orders', 2)
  const head = maker.checkpoint('orders')
  maker.delete('orders')
  maker.store()
  assert.match(reasons(withHead(maker.copy().disk, head)).at(-1) ?? '', 'the stream is not there')
  maker.append('orders', 3)
  maker.store()
  assert.match(
    reasons(withHead(maker.copy().disk, head)).at(-1) ?? '',
    'the stream is another one of the same name',
  )
})

tampered('a head that only the journal has is found there', () => {
  const maker = new StoreMaker(OPTIONS)
  maker.append('orders', 2)
  maker.store()
  maker.append('orders', 2)
  const head = maker.checkpoint('orders')
  maker.append('new', 1)
  const other = maker.checkpoint('new')
  const { disk } = maker.copy()
  for (const kept of [head, other]) {
    assert.equal(
      withHead(disk, kept).filter(({ severity }) => severity === 'damage'),
      [],
    )
  }
})

tampered('a log that was trimmed past a head says so, and is not damaged', () => {
  const maker = new StoreMaker({
    ...OPTIONS,
    defaultConfig: { ...OPTIONS.defaultConfig, maxSegmentBytes: 800 },
  })
  maker.append('orders', 12)
  maker.store()
  const head = { ...maker.checkpoint('orders') }
  maker.append('orders', 12)
  maker.store()
  maker.trim('orders', 20)
  maker.store()
  const { disk } = maker.copy()
  const { damages, report } = verifyStore(disk)
  assert.equal(damages, [])
  assert.ok((report?.records ?? 24) < 24)
  assert.match(reasons(withHead(disk, head)).at(-1) ?? '', 'the log was trimmed past the head')
})

tampered.run()

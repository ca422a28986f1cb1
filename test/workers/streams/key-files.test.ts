import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { latin1ToHex } from '../../../src/shared/format/bytes.ts'
import {
  journalPath,
  publicKeyPath,
  shardPath,
  SIGNING_KEY_PATH,
} from '../../../src/shared/format/paths.ts'
import { Signer, verifySignature } from '../../../src/shared/signing.ts'
import { DiskError, type FileMode } from '../../../src/workers/disk/disk.ts'
import {
  listPublicKeys,
  loadSigningKey,
  rotateSigningKey,
  type SigningKey,
  storedKeyId,
} from '../../../src/workers/streams/key-files.ts'
import { FlatDisk } from '../../support/flat-disk.ts'
import { Random } from '../../support/random.ts'
import { Crash, SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock } from '../../support/simulated-shard.ts'

const keyFiles = suite('workers/streams/key-files')

const environmentOf = (seed: number) => new Clock().environment(new Random(seed))
const load = (disk: FlatDisk | SimulatedDisk, given?: string): SigningKey =>
  loadSigningKey(disk, environmentOf(1), given)
const given = Signer.fromSeed('g'.repeat(32))

function refusalOf(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    if (error instanceof StoreError) return error.message
    throw error
  }
  throw new Error('it was not refused')
}

keyFiles('the first start makes a key, the next ones use it', () => {
  const disk = new FlatDisk()

  const { pem, keyId } = load(disk)

  assert.is(loadSigningKey(disk, environmentOf(2), undefined).keyId, keyId)
  assert.is(Signer.fromPem(pem)?.keyId, keyId)
  assert.is(storedKeyId(disk), keyId)
  assert.equal(disk.paths(), [publicKeyPath(keyId), SIGNING_KEY_PATH].sort())
})

keyFiles('the public key that is listed verifies what the key signs', () => {
  const disk = new FlatDisk()
  const { pem, keyId } = load(disk)
  const message = Buffer.from('head')

  const [key] = listPublicKeys(disk, keyId).keys

  assert.is(key?.keyId, latin1ToHex(keyId))
  assert.ok(key?.active)
  const publicKey = Buffer.from(key?.publicKey ?? '', 'hex').toString('latin1')
  assert.ok(verifySignature(publicKey, message, Signer.fromPem(pem)?.sign(message) ?? ''))
})

keyFiles('of a given key only the public half is stored', () => {
  const disk = new FlatDisk()

  const { keyId } = load(disk, given.toPem())

  assert.is(keyId, given.keyId)
  assert.equal(disk.paths(), [publicKeyPath(keyId)])
  assert.is(storedKeyId(disk), undefined)
})

keyFiles('a given key that is none is refused', () => {
  assert.match(
    refusalOf(() => load(new FlatDisk(), 'no PEM')),
    /no Ed25519 private key/,
  )
})

keyFiles('a rotation signs with a new key and keeps the old public one', () => {
  const disk = new FlatDisk()
  const old = load(disk)

  const { keyId } = rotateSigningKey(disk, environmentOf(2))

  assert.is.not(keyId, old.keyId)
  assert.is(load(disk).keyId, keyId)
  const { keys } = listPublicKeys(disk, keyId)
  const active = keys.map(key => [key.keyId, key.active] as const)
  assert.equal(new Map(active).get(latin1ToHex(old.keyId)), false)
  assert.is(keys.length, 2)
})

keyFiles('a private key with any byte changed is another key, or refused: never used', () => {
  const disk = new FlatDisk()
  const { keyId } = load(disk)
  for (let at = 0; at < disk.content(SIGNING_KEY_PATH).length; at += 1) {
    const damaged = disk.copy()
    damaged.change(SIGNING_KEY_PATH, bytes => void (bytes[at] = (bytes[at] ?? 0) ^ 1))
    try {
      assert.is(load(damaged).keyId, keyId, `byte ${at}`)
    } catch (error) {
      assert.match((error as Error).message, /damaged or was exchanged/)
      assert.equal(damaged.content(SIGNING_KEY_PATH).length, 119, 'it is left as it is')
    }
  }
})

keyFiles('a private key that is missing is not replaced in silence', () => {
  const disk = new FlatDisk()
  const { keyId } = load(disk)
  disk.remove(SIGNING_KEY_PATH)

  assert.match(
    refusalOf(() => load(disk)),
    /signing\.pem is missing/,
  )
  assert.not(disk.exists(SIGNING_KEY_PATH))
  assert.is.not(rotateSigningKey(disk, environmentOf(2)).keyId, keyId)
  assert.is(listPublicKeys(disk, undefined).keys.length, 2)
})

keyFiles("a public key that is not its name's is named, and the other ones are listed", () => {
  const disk = new FlatDisk()
  const old = load(disk)
  const now = rotateSigningKey(disk, environmentOf(2))
  disk.put(publicKeyPath(old.keyId), disk.content(publicKeyPath(now.keyId)))

  const { keys, damaged } = listPublicKeys(disk, now.keyId)

  assert.equal(damaged, [publicKeyPath(old.keyId)])
  assert.equal(
    keys.map(({ keyId }) => keyId),
    [latin1ToHex(now.keyId)],
  )
})

keyFiles('the public key of the key in use is repaired', () => {
  const disk = new FlatDisk()
  const { keyId } = load(disk)
  disk.put(publicKeyPath(keyId), Buffer.from('damaged'))

  load(disk)

  assert.is(listPublicKeys(disk, keyId).damaged.length, 0)
})

keyFiles('a store that was served gets no new identity in silence when keys/ is gone', () => {
  const disk = new FlatDisk()
  disk.makeDirectory(shardPath(0))
  disk.put(journalPath(0, 0), Buffer.alloc(0))
  const first = load(disk)
  disk.put(journalPath(0, 7), Buffer.alloc(0))
  disk.remove(SIGNING_KEY_PATH)
  disk.remove(publicKeyPath(first.keyId))

  assert.match(
    refusalOf(() => load(disk)),
    /keys\/ has no key though this store was served before/,
  )
  assert.equal(disk.list('keys'), [])
  const { keyId } = rotateSigningKey(disk, environmentOf(2))
  assert.is(load(disk).keyId, keyId)
})

keyFiles('a key that is in place is synced and not written, so that a full disk can start', () => {
  const disk = new FlatDisk()
  const own = load(disk)
  load(disk, given.toPem())
  const full = new FullDisk(disk)

  assert.is(load(full).keyId, own.keyId)
  assert.is(load(full, given.toPem()).keyId, given.keyId)
  assert.is(full.paths().length, 3)
})

/** The files of another disk, and no room for more. */
class FullDisk extends FlatDisk {
  constructor(disk: FlatDisk) {
    super(new Map(disk.paths().map(path => [path, disk.content(path)])), new Set(['keys']))
  }

  override open(path: string, mode: FileMode): number {
    if (mode === 'create') throw new DiskError('ENOSPC', 'open', path)
    return super.open(path, mode)
  }
}

/** Runs `act` up to the `at`-th operation, then the power fails; whether it got to its end. */
function interrupt(disk: SimulatedDisk, at: number, act: () => void): boolean {
  disk.crashAt = disk.operations + at
  try {
    act()
    return true
  } catch (error) {
    if (!(error instanceof Crash)) throw error
    return false
  } finally {
    disk.cutPower()
  }
}

/** Every operation at which `act` may stop, 20 times each. */
function* interruptions(
  prepare: (disk: SimulatedDisk) => void,
  act: (disk: SimulatedDisk) => void,
) {
  for (let seed = 0; seed < 20; seed += 1) {
    for (let at = 0, isDone = false; !isDone; at += 1) {
      const disk = new SimulatedDisk(new Random(seed * 1000 + at))
      prepare(disk)
      isDone = interrupt(disk, at, () => act(disk))
      yield { disk, isDone, when: `seed ${seed}, operation ${at}` }
    }
  }
}

keyFiles(
  'a first start may stop anywhere: the next one has a key, all public keys are sound',
  () => {
    let stops = 0
    for (const { disk, isDone, when } of interruptions(() => undefined, load)) {
      const first = isDone ? load(disk).keyId : undefined
      const { keyId } = loadSigningKey(disk, environmentOf(2), undefined)
      assert.is(keyId, first ?? keyId, when)
      const { keys, damaged } = listPublicKeys(disk, keyId)
      assert.equal([keys.length, damaged.length], [1, 0], when)
      stops += isDone ? 0 : 1
    }
    assert.ok(stops > 100)
  },
)

keyFiles('a rotation may stop anywhere: the key is the old one or the new one', () => {
  const old = load(new FlatDisk()).keyId
  const rotated = rotateSigningKey(new FlatDisk(), environmentOf(2)).keyId
  const rotate = (disk: SimulatedDisk) => void rotateSigningKey(disk, environmentOf(2))
  for (const { disk, isDone, when } of interruptions(load, rotate)) {
    const { keyId } = load(disk)
    assert.ok(isDone ? keyId === rotated : [old, rotated].includes(keyId), when)
    const { keys, damaged } = listPublicKeys(disk, keyId)
    assert.ok(
      keys.some(key => key.keyId === latin1ToHex(old)),
      when,
    )
    assert.equal(damaged, [], when)
  }
})

keyFiles.run()

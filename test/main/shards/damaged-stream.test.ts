import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ShardedStore } from '../../../src/main/shards/sharded-store.ts'
import { segmentPath } from '../../../src/shared/format/paths.ts'
import { Signer } from '../../../src/shared/signing.ts'
import { StoreMaker } from '../../support/inspected-store.ts'
import { ENGINE, openDirectory } from '../../support/open-store.ts'
import { encodeTexts } from '../../support/simulated-shard.ts'
import { failureOf, READ } from '../../support/store-helpers.ts'
import { directoryOf } from '../../support/stream-directory.ts'

const SIGNING_KEY = Signer.fromSeed('s'.repeat(32)).toPem()

const damaged = suite('main/shards/damaged-stream')

damaged('damage that a read meets is named, until it is trimmed', async () => {
  const data = mkdtempSync(join(tmpdir(), 'varve-'))
  const store = await openDirectory(data, 1)
  for (const stream of ['hurt', 'sound']) await append(store, stream, 5)
  await store.close()
  flip(data, 'record 2 of hurt')
  const again = await openDirectory(data, 1)
  assert.equal(again.damage(), [])
  const error = await failureOf(again.read('hurt', { ...READ, from: 0, verify: 'links' }))
  assert.is(error.code, 'corrupt_record')
  const [damage] = again.damage()
  assert.equal([damage?.stream, damage?.firstOffset, damage?.nextOffset], ['hurt', 2, 3])
  const [hurt, sound] = [await again.info('hurt'), await again.info('sound')]
  assert.equal([hurt.damage?.length, sound.damage], [1, undefined])
  await append(again, 'hurt', 1)
  await append(again, 'sound', 1)
  assert.is((await again.trim('hurt', 3)).damage, undefined)
  assert.equal(again.damage(), [])
  await again.close()
  rmSync(data, { recursive: true })
})

damaged('a segment that is gone at the start is named before anybody reads it', async () => {
  const { data, segment } = directoryWithJournal()
  rmSync(join(data, segment))
  // No write-back is due, so nobody else finds it.
  const engine = { ...ENGINE, checkpointIntervalMs: 600_000, retentionIntervalMs: 600_000 }
  const store = await openDirectory(data, undefined, { signingKey: SIGNING_KEY, engine })
  const info = await store.info('hurt')
  const [damage] = store.damage()
  assert.is(damage?.reason, 'segment 0: its segment is missing')
  assert.equal([damage?.stream, damage?.firstOffset, damage?.nextOffset], ['hurt', 0, 2])
  assert.equal([info.nextOffset, info.damage], [3, [damage]])
  await append(store, 'hurt', 1)
  assert.is((await store.info('hurt')).nextOffset, 4)
  await store.close()
  rmSync(data, { recursive: true })
})

/** Two stored records of `hurt`, and one that only the journal holds. */
function directoryWithJournal(): { readonly data: string; readonly segment: string } {
  const maker = new StoreMaker()
  maker.append('hurt', 2)
  maker.store()
  maker.append('hurt', 1)
  maker.journal()
  const { disk } = maker.copy()
  const data = mkdtempSync(join(tmpdir(), 'varve-'))
  for (const path of disk.paths()) {
    mkdirSync(dirname(join(data, path)), { recursive: true })
    writeFileSync(join(data, path), disk.content(path))
  }
  return { data, segment: segmentPath(directoryOf(disk, 'hurt'), 0) }
}

/** Flips a bit of the text wherever a segment has it. */
function flip(data: string, text: string): void {
  const streams = join(data, 'streams')
  for (const name of readdirSync(streams, { recursive: true }) as string[]) {
    if (!name.endsWith('.log')) continue
    const bytes = readFileSync(join(streams, name))
    const at = bytes.indexOf(text)
    if (at < 0) continue
    bytes[at] = (bytes[at] ?? 0) ^ 1
    writeFileSync(join(streams, name), bytes)
    return
  }
  throw new Error(`no segment has ${text}`)
}

function append(store: ShardedStore, stream: string, count: number) {
  const texts = Array.from({ length: count }, (_, at) => `record ${at} of ${stream}`)
  return store.append({ stream, batch: encodeTexts(texts), count })
}

damaged.run()

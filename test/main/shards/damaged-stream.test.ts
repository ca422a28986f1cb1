import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ShardedStore } from '../../../src/main/shards/sharded-store.ts'
import { StoreError } from '../../../src/shared/errors.ts'
import { openDirectory } from '../../support/open-store.ts'
import { encodeTexts } from '../../support/simulated-shard.ts'
import { READ } from '../../support/store-helpers.ts'

const damaged = suite('main/shards/damaged-stream')

damaged('damage that a read meets is named, until it is trimmed', async () => {
  const data = mkdtempSync(join(tmpdir(), 'varve-'))
  const store = await openDirectory(data, 1)
  for (const stream of ['hurt', 'sound']) await append(store, stream, 5)
  await store.close()
  flip(data, 'record 2 of hurt')
  const again = await openDirectory(data, 1)
  assert.equal(again.damage(), [])
  const error = await failure(again.read('hurt', { ...READ, from: 0, verify: 'links' }))
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

async function failure(promise: Promise<unknown>): Promise<StoreError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof StoreError) return error
    throw error
  }
  throw new Error('it was not refused')
}

damaged.run()

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { Signer } from '../../../src/shared/signing.ts'
import { swapNames } from '../../support/forger.ts'
import { StoreMaker } from '../../support/inspected-store.ts'
import { openDirectory } from '../../support/open-store.ts'
import { encodeTexts } from '../../support/simulated-shard.ts'
import { READ } from '../../support/store-helpers.ts'

const SIGNING_KEY = Signer.fromSeed('s'.repeat(32)).toPem()

const swapped = suite('main/shards/swapped-names')

/** A data directory in which `orders` and `invoices` bear each other's name. */
function tamperedDirectory(): string {
  const maker = new StoreMaker()
  for (const stream of ['orders', 'invoices', 'sound']) maker.append(stream, 12)
  maker.stop()
  const { disk } = maker.copy()
  swapNames(disk, 'orders', 'invoices')
  const data = mkdtempSync(join(tmpdir(), 'varve-'))
  for (const path of disk.paths()) {
    mkdirSync(dirname(join(data, path)), { recursive: true })
    writeFileSync(join(data, path), disk.content(path))
  }
  return data
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'done'
  } catch (error) {
    if (error instanceof StoreError) return error.code
    throw error
  }
}

swapped('streams whose names were swapped are named, and never answer for each other', async () => {
  const data = tamperedDirectory()
  const store = await openDirectory(data, undefined, { signingKey: SIGNING_KEY })
  const batch = encodeTexts(['more'])
  for (const stream of ['orders', 'invoices']) {
    const answers = [
      store.read(stream, READ),
      store.info(stream),
      store.append({ stream, batch, count: 1 }),
      store.closeStream(stream),
      store.trim(stream, 3),
      store.remove(stream),
    ]
    const codes = await Promise.all(answers.map(codeOf))
    assert.equal(new Set(codes), new Set(['corrupt_record']), codes.join(' '))
  }
  const named = store.damage().map(({ stream, nextOffset }) => `${stream} to ${nextOffset}`)
  assert.equal(named.sort(), ['invoices to 12', 'orders to 12'])
  await store.append({ stream: 'sound', batch, count: 1 })
  assert.is((await store.info('sound')).nextOffset, 13)
  await store.close()
  rmSync(data, { recursive: true })
})

swapped.run()

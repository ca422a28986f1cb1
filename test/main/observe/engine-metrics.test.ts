import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { addEngineGauges } from '../../../src/main/observe/engine-metrics.ts'
import { Metrics } from '../../../src/main/observe/metrics.ts'
import { openStore } from '../../support/open-store.ts'
import { encodeTexts } from '../../support/simulated-shard.ts'
import { withThreads } from '../../support/threads.ts'

const observed = suite('main/observe/engine-metrics')

observed('what only grows is a counter, and everything else a gauge', async () => {
  const store = await openStore(2)
  const metrics = new Metrics()
  addEngineGauges(metrics, store)
  await store.append({ stream: 's', batch: encodeTexts(['x']), count: 1 })
  const text = await metrics.render()
  const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type])
  assert.ok(types.length > 30)
  for (const [name, type] of types) {
    assert.is(type === 'counter', String(name).endsWith('_total'), name)
  }
  assert.match(text, /^varve_shard_records_total\{shard="\d"\} 1$/m)
  await store.close()
})

observed('one scrape asks each shard once, the next one again', async () => {
  const metrics = new Metrics()
  let asked = 0
  const read = metrics.oncePerScrape(async () => {
    asked += 1
    return asked
  })
  for (const name of ['a', 'b']) {
    metrics.addGauge({ name, help: name, collect: async () => [{ value: await read() }] })
  }
  assert.match(await metrics.render(), /^a 1\n[^]*^b 1$/m)
  assert.match(await metrics.render(), /^a 2\n[^]*^b 2$/m)
})

observed('a shard whose thread dies under a scrape is left out of it', () =>
  withThreads(async threads => {
    const store = await openStore(1)
    const metrics = new Metrics()
    addEngineGauges(metrics, store)
    const text = metrics.render()
    await threads.at(-1)?.terminate()
    assert.match(await text, /^varve_shard_ready\{shard="0"\} [01]$/m)
    await store.close()
  }),
)

observed.run()

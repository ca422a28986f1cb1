import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { appendText } from '../support/client.ts'
import { runCommand } from '../support/command.ts'
import { until } from '../support/memory-store.ts'
import { startServer, withDirectory } from '../support/server.ts'

const COUNT = 200

const damage = suite('e2e/damage')

damage('a damaged record is answered with its range, and the rest stays readable', async () => {
  await withDirectory(async data => {
    await fill(data)
    const [segment = ''] = segments(data)
    const bytes = readFileSync(segment)
    bytes[bytes.indexOf('record 100.')] = 0x21
    writeFileSync(segment, bytes)
    const server = await startServer({ data })
    const at = (query: string) => fetch(`${server.url}/v1/streams/s/records${query}`)
    const refused = (await (await at('')).json()) as Record<string, unknown>
    assert.is(refused['code'], 'corrupt_record')
    assert.equal([refused['firstCorruptOffset'], refused['nextReadableOffset']], [100, 101])
    assert.is((await at('?limit=100')).status, 200)
    assert.is((await at('?from=101')).status, 200)
    await server.kill()
  })
})

damage('a missing index is no loss, and is built again', async () => {
  await withDirectory(async data => {
    await fill(data)
    const index = (segments(data)[0] ?? '').replace('.log', '.idx')
    rmSync(index)
    const server = await startServer({ data })
    const response = await fetch(`${server.url}/v1/streams/s/records/150`)
    assert.is(((await response.json()) as { text: string }).text, 'record 150.')
    await until(() => existsSync(index)) // built beside the reads, and put in place as a whole
    await server.stop()
    assert.ok(readFileSync(index).length > 0)
  })
})

damage('a refused journal leaves what is stored readable, and says so', async () => {
  await withDirectory(async data => {
    await fill(data)
    rmSync(join(data, 'journals/shard-00/newest.json'))
    rmSync(join(data, 'journals/copies/shard-00.newest.json'))
    const server = await startServer({ data })
    const at = (query: string) => fetch(`${server.url}/v1/streams/s/records${query}`)
    const whole = await at(`?limit=${COUNT}`)
    assert.is(whole.status, 200)
    // It is not known where the stream ends, so no page may look like its last.
    assert.is(whole.headers.get('varve-tail-offset'), null)
    assert.not.ok('tailOffset' in ((await whole.json()) as object))
    const args = ['read', 's', '--limit', `${COUNT}`, '--format', 'ndjson', '--url', server.url]
    const { code, stdout } = await runCommand(args)
    assert.equal([code, stdout.toString().trim().split('\n').length], [0, COUNT])
    assert.is((await at(`/${COUNT - 1}`)).status, 200)
    const hidden = [`?from=${COUNT}`, `/${COUNT}`, `?limit=${COUNT + 1}`, '/9999']
    for (const query of hidden) {
      const answer = await at(query)
      const { code, knownNextOffset } = (await answer.json()) as Record<string, unknown>
      assert.equal([answer.status, code, knownNextOffset], [503, 'shard_failed', COUNT], query)
    }
    assert.is((await fetch(`${server.url}/v1/streams/other`)).status, 503)
    assert.is((await fetch(`${server.url}/v1/streams`)).status, 503)
    const refused = (await (await appendText(server.url, 's', 'x')).json()) as { outcome: string }
    assert.is(refused.outcome, 'not_applied')
    assert.is((await fetch(`${server.url}/v1/ready`)).status, 503)
    assert.match(server.output(), /newest\.json and its second copy are damaged or missing/)
    await server.kill()
  })
})

damage(
  'a shard that lost its catalogue serves its streams, and a repair makes it whole',
  async () => {
    await withDirectory(async data => {
      await fill(data)
      for (const path of ['shard-00/catalogue', 'copies/shard-00.catalogue']) {
        rmSync(join(data, 'journals', path))
      }
      const server = await startServer({ data })
      const at = (query: string) => fetch(`${server.url}/v1/streams/s/records${query}`)
      assert.is((await at(`?limit=${COUNT}&verify=genesis`)).status, 200)
      const beyond = (await (await at(`?from=${COUNT}`)).json()) as Record<string, unknown>
      assert.equal([beyond['code'], beyond['knownNextOffset']], ['shard_failed', COUNT])
      assert.is((await fetch(`${server.url}/v1/streams/other`)).status, 503)
      assert.is((await appendText(server.url, 's', 'x')).status, 503)
      const ready = await (await fetch(`${server.url}/v1/ready`)).text()
      assert.match(ready, /the catalogue and its second copy are damaged or lost/)
      assert.match(server.output(), /the catalogue and its second copy are damaged or lost/)
      await server.kill()
      const repaired = await runCommand(['repair', '--data', data, '--apply'])
      assert.is(repaired.code, 0, repaired.stderr)
      assert.match(
        repaired.stdout.toString(),
        /lost .* shard 0 · the catalogue .* state of producers/,
      )
      const verified = await runCommand(['verify', '--data', data])
      assert.is(verified.code, 0, verified.stdout.toString())
      assert.match(verified.stdout.toString(), /losses\.json .*state of producers/)
      const again = await startServer({ data })
      const appended = (await (await appendText(again.url, 's', 'x')).json()) as object
      assert.is((appended as { firstOffset: number }).firstOffset, COUNT)
      await again.kill()
    })
  },
)

/** A store of one stream, stopped, so that all of it is in its segment. */
async function fill(data: string): Promise<void> {
  const server = await startServer({ data })
  const lines = Array.from({ length: COUNT }, (_, at) => ({ text: `record ${at}.` }))
  const response = await fetch(`${server.url}/v1/streams/s/records`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ records: lines }),
  })
  assert.is(response.status, 200)
  assert.is(await server.stop(), 0)
}

function segments(data: string): string[] {
  const names = readdirSync(join(data, 'streams'), { recursive: true, encoding: 'utf8' })
  return names.filter(name => name.endsWith('.log')).map(name => join(data, 'streams', name))
}

damage.run()

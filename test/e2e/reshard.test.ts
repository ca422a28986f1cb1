import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { appendText, readTexts } from '../support/client.ts'
import { startServer, withDirectory } from '../support/server.ts'

const STREAMS = Array.from({ length: 1000 }, (_, at) => `stream ${at}`)
/** Requests side by side. */
const SIDE_BY_SIDE = 32
/** Seconds after which a start is killed: before, in, and after the change. */
const KILLED_AFTER = ['0.4', '0.5', '0.6', '0.7', '0.8', '0.9', '1.1']

const change = suite('e2e/reshard')

change('1,000 streams go from 1 shard to 4, with kills on the way, and on to 2', () =>
  withDirectory(async data => {
    const first = await startServer({ data })
    await forEach(STREAMS, stream => append(first.url, stream, 'one'))
    await first.kill()
    for (const seconds of KILLED_AFTER) await startAndKill(data, '4', seconds)
    for (const [shards, texts] of [
      ['4', ['one']],
      ['2', ['one', '4']],
    ] as const) {
      const server = await startServer({ data, args: ['--shards', shards] })
      assert.is(await shardsOf(server.url), Number(shards))
      await forEach(STREAMS, async stream => {
        assert.equal(await readTexts(server.url, stream), texts, stream)
        await append(server.url, stream, shards)
      })
      assert.is(await server.stop(), 0)
    }
  }),
)

async function append(url: string, stream: string, text: string): Promise<void> {
  const response = await appendText(url, stream, text)
  assert.is(response.status, 200)
  await response.arrayBuffer()
}

/** `timeout` kills what it runs after that time. */
async function startAndKill(data: string, shards: string, seconds: string): Promise<void> {
  const wrapper = ['timeout', '-s', 'KILL', seconds]
  const server = await startServer({ data, args: ['--shards', shards], wrapper }).catch(() => null)
  await server?.kill()
}

async function shardsOf(url: string): Promise<number> {
  const body = (await (await fetch(`${url}/v1/ready`)).json()) as { shards: unknown[] }
  return body.shards.length
}

async function forEach(
  items: readonly string[],
  act: (item: string) => Promise<void>,
): Promise<void> {
  const rest = [...items]
  const work = async () => {
    for (let item = rest.pop(); item !== undefined; item = rest.pop()) await act(item)
  }
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, work))
}

change.run()

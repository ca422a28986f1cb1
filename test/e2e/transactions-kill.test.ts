import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readTexts } from '../support/client.ts'
import { startServer, withDirectory } from '../support/server.ts'
import { eventually } from '../support/store-helpers.ts'

const SHARDS = 8
const WRITERS = 100
const KILLS = 6
const LIFE_MS = 500
/** Transactions answered in each life at least, however slow the machine is. */
const ANSWERED_MIN = 20
const STREAMS = Array.from({ length: 24 }, (_, count) => `stream ${count}`)

/** What the outside knows of one transaction. */
type Known = { readonly streams: readonly string[]; outcome: 'open' | 'answered' | 'refused' }

type Ledger = Map<string, Known>

const kill = suite('e2e/transactions-kill')

kill('kill -9 under 100 transactions over 8 shards leaves never a half of one', async () => {
  await withDirectory(async data => {
    const ledger: Ledger = new Map()
    for (let round = 0; round < KILLS; round += 1) await live(data, ledger, round)
    const server = await startServer({ data })
    await check(server.url, ledger)
    assert.is(await server.stop(), 0)
    assert.ok(answered(ledger, '') >= KILLS * ANSWERED_MIN)
  })
})

/** One life: everything known is there, then writers go on until the process is killed. */
async function live(data: string, ledger: Ledger, round: number): Promise<void> {
  const server = await startServer({ data, args: ['--shards', `${SHARDS}`] })
  await check(server.url, ledger)
  const writers = Array.from({ length: WRITERS }, (_, writer) =>
    write(server.url, ledger, `${round}.${writer}`, writer),
  )
  await new Promise(done => {
    setTimeout(done, LIFE_MS + 61 * round)
  })
  await eventually(async () => answered(ledger, `${round}.`) >= ANSWERED_MIN)
  await server.kill()
  await Promise.all(writers)
}

/** How many transactions were answered, of those whose name begins so. */
function answered(ledger: Ledger, prefix: string): number {
  const named = [...ledger].filter(([name]) => name.startsWith(prefix))
  return named.filter(([, { outcome }]) => outcome === 'answered').length
}

/** Sends one transaction after the other until the connection breaks; notes what was answered. */
async function write(url: string, ledger: Ledger, writer: string, start: number): Promise<void> {
  for (let count = 0; ; count += 1) {
    const name = `${writer}.${count}`
    const streams = [0, 1, 2, 3].map(
      step => STREAMS[(start + 7 * count + 5 * step) % STREAMS.length] as string,
    )
    const known: Known = { streams, outcome: 'open' }
    ledger.set(name, known)
    try {
      const { status } = await transact(url, streams, name)
      known.outcome = status === 200 ? 'answered' : 'refused'
      assert.ok(status === 200 || status === 503, `a transaction was answered ${status}`)
    } catch (error) {
      if (error instanceof TypeError) return // killed: whether this one is there is not known
      throw error
    }
  }
}

function transact(url: string, streams: readonly string[], text: string): Promise<Response> {
  const appends = streams.map(stream => ({ stream, records: [{ text }] }))
  return fetch(`${url}/v1/transactions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ appends }),
  })
}

async function check(url: string, ledger: Ledger): Promise<void> {
  const found = new Map<string, string[]>()
  for (const stream of STREAMS) {
    const texts = await readTexts(url, stream)
    assert.is(new Set(texts).size, texts.length, `${stream} holds no record twice`)
    for (const text of texts) found.set(text, [...(found.get(text) ?? []), stream])
  }
  for (const [name, known] of ledger) {
    const there = found.get(name)?.length ?? 0
    const isWhole = there === known.streams.length
    assert.ok(isWhole || there === 0, `${name} is in ${there} of ${known.streams.length} streams`)
    assert.ok(isWhole || known.outcome !== 'answered', `${name}, answered, is not there`)
    assert.not(there > 0 && known.outcome === 'refused', `${name} is there, though it was refused`)
    known.outcome = isWhole ? 'answered' : 'refused'
  }
}

kill.run()

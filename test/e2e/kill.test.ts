import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { appendText, type Appended, readTexts } from '../support/client.ts'
import { startServer, withDirectory } from '../support/server.ts'

const WRITERS = 16
const STREAMS = 4
const KILLS = 12
const LIFE_MS = 400

/** What the outside saw answered as durable: per stream, offset → text. */
type Ledger = Map<string, Map<number, string>>

const kill = suite('e2e/kill')

kill(
  'kill -9 under 16 writers loses nothing that was answered, and the chain verifies',
  async () => {
    await withDirectory(async data => {
      const ledger: Ledger = new Map()
      for (let round = 0; round < KILLS; round += 1) await live(data, ledger, round)
      const server = await startServer({ data })
      await check(server.url, ledger)
      assert.is(await server.stop(), 0)
    })
  },
)

/** One life: everything known is there, then writers go on until the process is killed. */
async function live(data: string, ledger: Ledger, round: number): Promise<void> {
  const server = await startServer({ data })
  await check(server.url, ledger)
  const writers = Array.from({ length: WRITERS }, (_, writer) =>
    write(server.url, ledger, `stream ${writer % STREAMS}`, `${round}.${writer}`),
  )
  await new Promise(done => {
    setTimeout(done, LIFE_MS + 37 * round)
  })
  await server.kill()
  await Promise.all(writers)
}

/** Appends one record after the other until the connection breaks; notes what was answered. */
async function write(url: string, ledger: Ledger, stream: string, name: string): Promise<void> {
  const known = ledger.get(stream) ?? new Map<number, string>()
  ledger.set(stream, known)
  for (let count = 0; ; count += 1) {
    const text = `${name}.${count}`
    try {
      const response = await appendText(url, stream, text)
      const answer = (await response.json()) as Appended
      if (response.ok && answer.durable) known.set(answer.firstOffset, text)
    } catch {
      return // killed: whether this one is there is not known
    }
  }
}

async function check(url: string, ledger: Ledger): Promise<void> {
  for (const [stream, known] of ledger) {
    const texts = await readTexts(url, stream)
    const wrong = [...known].filter(([offset, text]) => texts[offset] !== text)
    assert.equal(wrong.slice(0, 3), [], `${stream}: ${wrong.length} of ${known.size} lost or wrong`)
    assert.is(new Set(texts).size, texts.length, `${stream} holds no record twice`)
  }
}

kill.run()

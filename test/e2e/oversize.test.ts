import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type RunningServer, startServer, withDirectory } from '../support/server.ts'

const KIB = 1024
const MIB = 1024 * KIB
const ITEM_HEADER_BYTES = 8
const HEADROOM_BYTES = 500
const SMALL = ['--slot-bytes', '64KiB', '--journal-file-bytes', '128KiB']

const oversize = suite('e2e/oversize')

oversize('appends of every size about a slot, and of several files, survive a kill', () =>
  withDirectory(async data => {
    const slot = 64 * KIB
    const edges = Array.from({ length: 60 }, (_, at) => slot - HEADROOM_BYTES + 10 * at)
    const sizes = [...edges, 2 * slot, 5 * slot, 10, 3 * slot]
    const server = await startServer({ data, args: SMALL })
    for (const size of sizes) assert.is((await append(server, [size])).status, 200)
    await server.kill()
    assert.equal(await stored(data, SMALL), sizes)
  }),
)

oversize('the largest request is taken whole, one byte more is not', () =>
  withDirectory(async data => {
    const server = await startServer({ data })
    const sizes = [8, 8, 8, 8].map(size => size * MIB)
    sizes[3] = 8 * MIB - 4 * ITEM_HEADER_BYTES
    assert.is((await append(server, sizes)).status, 200)
    sizes[3] += 1
    assert.is((await append(server, sizes)).status, 413)
    await server.kill()
    sizes[3] -= 1
    assert.equal(await stored(data, []), sizes)
  }),
)

oversize('many large ones at a time are answered or turned away, and memory stays bounded', () =>
  withDirectory(async data => {
    const server = await startServer({ data })
    const answers: number[] = []
    for (let round = 0; round < 6; round += 1) {
      const sent = Array.from({ length: 6 }, () => append(server, [7 * MIB, 7 * MIB]))
      for (const { status } of await Promise.all(sent)) answers.push(status)
    }
    const taken = answers.filter(status => status === 200).length
    assert.ok(taken >= 6, `${taken} were taken`)
    assert.equal(
      answers.filter(status => status !== 200 && status !== 503),
      [],
    )
    const { tailOffset } = await read(server, 0)
    const memory = residentBytes(server.pid)
    await server.kill()
    assert.is(tailOffset, 2 * taken)
    assert.ok(memory < 1500 * MIB, `${Math.round(memory / MIB)} MiB resident`)
  }),
)

/** One batch of bodies of these sizes. */
async function append({ url }: RunningServer, sizes: readonly number[]): Promise<Response> {
  const items = sizes.map(size => {
    const item = Buffer.alloc(ITEM_HEADER_BYTES + size, size % 251)
    item.fill(0, 0, ITEM_HEADER_BYTES).writeUInt32LE(size)
    return item
  })
  const headers = { 'content-type': 'application/vnd.varve.batch' }
  const body = new Uint8Array(Buffer.concat(items))
  const response = await fetch(`${url}/v1/streams/s/records`, { method: 'POST', headers, body })
  await response.arrayBuffer()
  return response
}

type Page = {
  readonly nextOffset: number
  readonly tailOffset: number
  readonly records: readonly { readonly base64: string }[]
}

async function read({ url }: RunningServer, from: number): Promise<Page> {
  const query = `?from=${from}&limit=20&maxBytes=64000000`
  const response = await fetch(`${url}/v1/streams/s/records${query}`)
  assert.is(response.status, 200)
  return (await response.json()) as Page
}

/** Sizes of all bodies after a new start, each found to hold what was sent. */
async function stored(data: string, args: readonly string[]): Promise<number[]> {
  const server = await startServer({ data, args })
  const sizes: number[] = []
  for (let page = await read(server, 0); ; page = await read(server, page.nextOffset)) {
    for (const { base64 } of page.records) {
      const body = Buffer.from(base64, 'base64')
      assert.ok(body.equals(Buffer.alloc(body.length, body.length % 251)))
      sizes.push(body.length)
    }
    if (page.nextOffset === page.tailOffset) break
  }
  await server.kill()
  return sizes
}

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return KIB * Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1])
}

oversize.run()

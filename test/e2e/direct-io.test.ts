import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { appendText, readTexts } from '../support/client.ts'
import { type RunningServer, startServer, withDirectory } from '../support/server.ts'

const hasStrace = spawnSync('strace', ['-V']).status === 0
const KIB = 1024
/** Small journal files, so that the next one comes soon. */
const ARGS = ['--direct-io', '--slot-bytes', '64KiB', '--journal-file-bytes', '128KiB']

const direct = suite('e2e/direct-io')
const traced = hasStrace ? direct : direct.skip

direct('what is traced here needs strace', () => {
  assert.type(hasStrace, 'boolean')
})

direct('without the option the journal goes through the page cache', () =>
  withDirectory(async data => {
    const server = await startServer({ data })
    assert.equal(await directIo(server), { ready: 'off', metric: 0 })
    await server.kill()
  }),
)

direct('with it, what was answered is there after a kill, and ready says how it went', () =>
  withDirectory(async data => {
    const first = await startServer({ data, args: ARGS })
    const { ready, metric } = await directIo(first)
    assert.equal(['on', 'unavailable'].includes(ready), true)
    assert.is(metric, ready === 'on' ? 1 : 0)
    assert.is(first.output().includes('no direct I/O'), ready === 'unavailable')
    await fill(first, 20)
    assert.is((await directIo(first)).ready, ready)
    await first.kill()
    await holds(data, 20)
  }),
)

traced('the blocks really go out directly, each to whole pages', () =>
  withDirectory(async directory => {
    const trace = join(directory, 'trace')
    const wrapper = strace(trace, 'trace=openat,pwrite64')
    const server = await startServer({ data: join(directory, 'data'), args: ARGS, wrapper })
    const { ready } = await directIo(server)
    await fill(server, 3)
    await server.kill()
    const opened = lines(trace).filter(line => /\.wal", O_RDWR\|O_DIRECT/.test(line))
    assert.is(opened.length > 0, ready === 'on')
  }),
)

traced('a file system without it is said in log, metrics and ready, and served all the same', () =>
  withDirectory(async directory => {
    const data = join(directory, 'data')
    const wrapper = refusing(directory, join(data, 'journals/shard-00/probe.tmp'), 2)
    const server = await startServer({ data, args: ARGS, wrapper })
    assert.equal(await directIo(server), { ready: 'unavailable', metric: 0 })
    assert.match(server.output(), /"level":40.*"errno":"EINVAL".*no direct I\/O/)
    await fill(server, 3)
    await server.kill()
    await holds(data, 3)
  }),
)

traced('a journal file that will not be opened so is written through the cache from then on', () =>
  withDirectory(async directory => {
    const data = join(directory, 'data')
    const wrapper = refusing(directory, join(data, 'journals/shard-00/000000000003.wal'), 1)
    const server = await startServer({ data, args: ARGS, wrapper })
    const before = (await directIo(server)).ready
    await fill(server, 20)
    assert.equal(await directIo(server), { ready: 'unavailable', metric: 0 })
    if (before === 'on') assert.match(server.output(), /"errno":"EINVAL".*no direct I\/O/)
    await server.kill()
    await holds(data, 20)
  }),
)

function strace(trace: string, ...filters: string[]): string[] {
  return ['strace', '-f', '-qq', '-o', trace, ...filters.flatMap(filter => ['-e', filter])]
}

/** The opening of `path` by any one thread fails from its `when`th time on. */
function refusing(directory: string, path: string, when: number): string[] {
  const inject = `inject=openat:error=EINVAL:when=${when}`
  return [...strace(join(directory, 'trace'), 'trace=openat', inject), '-P', path]
}

function lines(path: string): string[] {
  return readFileSync(path, 'utf8').split('\n')
}

/** Appends of 20 KiB: six of them fill a journal file. */
async function fill(server: RunningServer, appends: number): Promise<void> {
  for (let count = 0; count < appends; count += 1) {
    const response = await appendText(server.url, 's', `${count} `.padEnd(20 * KIB, 'x'))
    assert.is(response.status, 200)
  }
}

/** The next start, without the option, has so many of them. */
async function holds(data: string, appends: number): Promise<void> {
  const server = await startServer({ data, args: ARGS.slice(1) })
  const texts = await readTexts(server.url, 's')
  await server.kill()
  assert.equal(
    texts.map(text => Number.parseInt(text, 10)),
    Array.from({ length: appends }, (_, count) => count),
  )
}

async function directIo({ url }: RunningServer): Promise<{ ready: string; metric: number }> {
  const answer = (await (await fetch(`${url}/v1/ready`)).json()) as {
    shards: { directIo: string }[]
  }
  const text = await (await fetch(`${url}/metrics`)).text()
  const metric = /^varve_direct_io\{shard="0"\} (\d)$/m.exec(text)?.[1]
  return { ready: answer.shards[0]?.directIo ?? '', metric: Number(metric) }
}

direct.run()

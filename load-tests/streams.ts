import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { Processes } from './bench/processes.ts'
import { type Service, startService } from './service.ts'

// Many streams on one server: creates them, appends a record to each, lists them in pages, starts
// the server anew, and says what each took, and what a stream costs in memory while it is idle.
//
//   npm run bench:streams -- [--streams N] [--connections N]

/** Requests on their way on a connection. */
const PIPELINED = 32
const PAGE_STREAMS = 1000
const KIB = 1024

const { values } = parseArgs({
  options: {
    streams: { type: 'string', default: '100000' },
    connections: { type: 'string', default: '8' },
  },
})
const STREAMS = Number(values.streams)
const CONNECTIONS = Number(values.connections)
const NEW_STREAMS = Math.min(10_000, STREAMS)

const processes = new Processes()
process.once('exit', () => processes.killAll())
const data = mkdtempSync(join(tmpdir(), 'varve-streams-'))
try {
  await measure()
} finally {
  rmSync(data, { recursive: true, force: true })
}

async function measure(): Promise<void> {
  let server = await start()
  const emptyRss = await settledRss(server)
  say('start, empty', `${server.startMs} ms, ${mib(emptyRss)} resident`)
  await rate('create', STREAMS, server, at => request('PUT', nameOf(at)))
  await rate('first append', STREAMS, server, at => append(nameOf(at)))
  await rate('next append', NEW_STREAMS, server, at => append(nameOf((at * 7) % STREAMS)))
  await rate('append that creates', NEW_STREAMS, server, at => append(`new-${at}`))
  await list(server)
  say('after appends', `${mib(await settledRss(server))} resident`)
  await end(server)
  server = await start()
  const rss = await settledRss(server)
  const each = Math.round((rss - emptyRss) / (STREAMS + NEW_STREAMS))
  say('start again', `${server.startMs} ms, ${mib(rss)} resident, ${each} bytes an idle stream`)
  await list(server)
  await rate('append after it', NEW_STREAMS, server, at => append(nameOf(at)))
  await end(server)
}

async function rate(
  what: string,
  count: number,
  { port }: Service,
  build: (at: number) => string,
): Promise<void> {
  const startMs = performance.now()
  const shares = Array.from({ length: CONNECTIONS }, (_, share) => share)
  await Promise.all(shares.map(share => pipeline(port, count, share, build)))
  const seconds = (performance.now() - startMs) / 1000
  say(what, `${count} in ${seconds.toFixed(1)} s, ${Math.round(count / seconds)}/s`)
}

/** Sends every CONNECTIONS-th request on one connection, PIPELINED at a time. */
async function pipeline(
  port: number,
  count: number,
  share: number,
  build: (at: number) => string,
): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  await once(socket, 'connect')
  await new Promise<void>((resolve, reject) => {
    let next = share
    let open = 0
    let rest = ''
    const fill = () => {
      let requests = ''
      for (; next < count && open < PIPELINED; next += CONNECTIONS, open += 1) {
        requests += build(next)
      }
      if (requests !== '') socket.write(requests)
      else if (open === 0) resolve()
    }
    socket.setEncoding('latin1').on('data', (text: string) => {
      const found = (rest + text).split('HTTP/1.1 ')
      rest = `HTTP/1.1 ${found.at(-1)}`.slice(-12)
      const statuses = found.slice(1).map(answer => answer.slice(0, 3))
      // A status line may be split between two reads: what is left of it is looked at again.
      const whole = statuses.filter(status => status.length === 3)
      if (whole.some(status => !status.startsWith('2'))) reject(new Error(whole.join()))
      if (statuses.length === whole.length) rest = ''
      open -= whole.length
      fill()
    })
    socket.on('error', reject).on('close', () => reject(new Error('the connection was closed')))
    fill()
  }).finally(() => socket.removeAllListeners('close').destroy())
}

/** All of them, in pages by name. */
async function list({ port }: Service): Promise<void> {
  const startMs = performance.now()
  let count = 0
  let firstMs = 0
  for (let after: string | null = ''; after !== null; ) {
    const query = new URLSearchParams({ prefix: 'stream-', after, limit: String(PAGE_STREAMS) })
    const response = await fetch(`http://127.0.0.1:${port}/v1/streams?${query.toString()}`)
    const page = (await response.json()) as { streams: unknown[]; next: string | null }
    if (count === 0) firstMs = performance.now() - startMs
    count += page.streams.length
    after = page.next
  }
  if (count !== STREAMS) throw new Error(`listed ${count} of ${STREAMS}`)
  const ms = Math.round(performance.now() - startMs)
  say(
    'list',
    `${count} in ${ms} ms, the first page of ${PAGE_STREAMS} in ${Math.round(firstMs)} ms`,
  )
}

function start(): Promise<Service> {
  const place = { processes, data: join(data, 'varve'), log: join(data, 'varve.log') }
  return startService({ ...place, nodeFlags: ['--expose-gc'] })
}

function end({ child }: Service): Promise<void> {
  return processes.end(child)
}

/** Resident bytes once they no longer fall: the last of the start's garbage has gone. */
async function settledRss({ child }: Service): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let looks = 0; looks < 20; looks += 1) {
    await pause(250)
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
    least = Math.min(least, Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * KIB)
  }
  return least
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, ms)
  })
}

function nameOf(at: number): string {
  return `stream-${at}`
}

function request(method: string, name: string): string {
  return `${method} /v1/streams/${name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n`
}

function append(name: string): string {
  const head = `POST /v1/streams/${name}/records HTTP/1.1\r\nHost: localhost\r\n`
  const body = 'x'.repeat(128)
  return `${head}Content-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

function mib(bytes: number): string {
  return `${Math.round(bytes / KIB / KIB)} MiB`
}

function say(what: string, result: string): void {
  console.log(`${what.padEnd(22)}${result}`)
}

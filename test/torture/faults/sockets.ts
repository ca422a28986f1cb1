import { type Client, describe, NoAnswer, streamPath } from '../client.ts'
import { Ledger } from '../ledger.ts'
import { Server } from '../server.ts'
import { type Fault, sleep, type Trial, until } from '../trial.ts'
import { auditWhole } from '../audit.ts'
import { Crowd } from '../crowd.ts'

const KIB = 1024
const MIB = 1024 * KIB
/** The rule: whatever clients do, the service stays below it. */
const RESIDENT_MAX = 1024 * MIB
/** Time in which others are answered beside the crowd. */
const SERVED_MS = 10_000
const ATTACK_MS = 4_000
const SAMPLE_MS = 50
const LARGE = 'large'
const LARGE_RECORDS = 9
const OTHERS = ['other 0', 'other 1', 'other 2']

/** A crowd of clients that behave badly; returns once all of it is under way. */
type Attack = {
  readonly name: string
  readonly needsLarge?: boolean
  readonly start: (crowd: Crowd) => Promise<void>
}

const APPEND = `POST ${streamPath('crowd')}/records`
const PLAIN = 'content-type: application/octet-stream'
const READ = `GET ${streamPath(LARGE)}/records?maxBytes=67108864`
const TAIL = `GET ${streamPath(LARGE)}/tail?from=0`
const UPGRADE =
  'connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n' +
  'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=='

const ATTACKS: readonly Attack[] = [
  { name: '200 silent connections', start: crowd => crowd.open(200, '') },
  { name: '200 half headers', start: crowd => crowd.open(200, 'GET /v1/health HTTP/1.1\r\nhost') },
  {
    name: '64 bodies announced and not sent',
    start: crowd => crowd.request(64, APPEND, `${PLAIN}\r\ncontent-length: 8388608`),
  },
  { name: '64 dribblers of 8 MiB', start: crowd => crowd.dribble(64, APPEND, PLAIN, 8 * MIB) },
  {
    name: '64 clients with 8 MiB records',
    start: crowd => crowd.append(64, APPEND, PLAIN, 8 * MIB),
  },
  { name: '30 unread reads of 64 MiB', needsLarge: true, start: crowd => crowd.unread(30, READ) },
  {
    name: '10 times 50 pipelined unread reads',
    needsLarge: true,
    start: crowd => crowd.unread(10, READ, 50),
  },
  {
    name: '30 tails that are not read',
    needsLarge: true,
    start: crowd => crowd.unread(30, TAIL, 1, UPGRADE),
  },
  {
    name: '30 event streams that are not read',
    needsLarge: true,
    start: crowd => crowd.unread(30, `${READ}&from=0`, 1, 'accept: text/event-stream'),
  },
  {
    name: '64 sessions with half frames of 8 MiB',
    start: crowd => crowd.halfFrames(64, 'GET /v1/session', UPGRADE, 8 * MIB),
  },
]

export const sockets: Fault = {
  name: 'sockets',
  title:
    'silent, dribbling and greedy clients: resident memory stays below 1 GiB, others are served ' +
    'meanwhile, and nothing is lost',
  needs: [],
  cases: () =>
    ATTACKS.map(attack => ({ name: attack.name, run: trial => crowdOut(trial, attack) })),
}

async function crowdOut(trial: Trial, { needsLarge, start }: Attack): Promise<void> {
  const ledger = new Ledger(trial)
  const server = await Server.start(trial, { data: trial.path('data'), args: ['--shards=2'] })
  if (needsLarge === true) await fillLarge(server.client, ledger)
  for (const stream of OTHERS) await probe(trial, server.client, ledger, stream)
  let isOver = false
  const watching = watchMemory(trial, server, () => isOver)
  const crowd = new Crowd(trial, server.url)
  const attacking = start(crowd)
  const endMs = performance.now() + ATTACK_MS
  for (let round = 0; performance.now() < endMs; round += 1) {
    await probe(trial, server.client, ledger, OTHERS[round % OTHERS.length] as string)
    await sleep(20)
  }
  await attacking
  trial.note('bytes sent by a crowd', crowd.sentBytes)
  if (crowd.reached === 0) trial.notApplied = 'no client of the crowd reached the service'
  crowd.close()
  if (!(await server.isReady(SERVED_MS))) trial.find('refused', 'not ready after the crowd left')
  await auditWhole(trial, server.client, ledger)
  isOver = true
  await watching
  if (!server.isRunning) trial.find('hurt', 'the process died of the crowd')
}

async function fillLarge(client: Client, ledger: Ledger): Promise<void> {
  for (let count = 0; count < LARGE_RECORDS; count += 1) {
    const records = [{ text: ledger.text(8 * MIB - KIB) }]
    const sent = ledger.send([{ stream: LARGE, records }])
    const answer = await client.append(LARGE, { records })
    if (!ledger.answered(sent, answer)) throw new Error(`large append: ${describe(answer)}`)
  }
}

/** Another client's append and read, which must be answered; busy is an answer for a while. */
async function probe(trial: Trial, client: Client, ledger: Ledger, stream: string) {
  const startMs = performance.now()
  let refusal = ''
  const served = await until(SERVED_MS, async () => {
    try {
      const records = [{ text: ledger.text(200) }]
      const sent = ledger.send([{ stream, records }])
      const appended = await client.append(stream, { records })
      if (!ledger.answered(sent, appended)) {
        refusal = describe(appended)
        return undefined
      }
      const last = Number(appended.json['firstOffset'])
      const read = await client.get(`${streamPath(stream)}/records?from=${last}`)
      refusal = describe(read)
      return read.status === 200 ? true : undefined
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error
      refusal = error.message
      return undefined
    }
  })
  trial.note('slowest append and read beside a crowd ms', Math.round(performance.now() - startMs))
  if (served === undefined) trial.find('hurt', `${stream} is not served: ${refusal}`)
}

async function watchMemory(trial: Trial, server: Server, isOver: () => boolean): Promise<void> {
  let largest = 0
  while (!isOver() && server.isRunning) {
    largest = Math.max(largest, server.residentBytes)
    await sleep(SAMPLE_MS)
  }
  const mebibytes = Math.round(largest / MIB)
  trial.note('largest resident MiB', mebibytes)
  if (largest > RESIDENT_MAX) trial.find('slow', `it held ${mebibytes} MiB of memory`)
}

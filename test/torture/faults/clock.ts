import { writeFileSync } from 'node:fs'
import { auditWhole } from '../audit.ts'
import { type Client, describe, streamPath } from '../client.ts'
import { Ledger } from '../ledger.ts'
import { Server, SMALL } from '../server.ts'
import { compile } from '../tools.ts'
import { type Fault, sleep, type Trial } from '../trial.ts'

const HOUR_S = 3_600
const YEAR_S = 365 * 24 * HOUR_S
/** Longer than any test, shorter than any jump here. */
const MAX_AGE_S = HOUR_S
/** Past several looks of retention, which come every 100 ms. */
const LOOKS_MS = 1_000
const KEPT = 'kept for an hour'
const PRODUCED = 'produced'

type Jump = { readonly name: string; readonly seconds: number; readonly restarts: boolean }

const JUMPS: readonly Jump[] = [
  { name: 'a year ahead while it runs', seconds: YEAR_S, restarts: false },
  { name: 'two hours ahead while it runs', seconds: 2 * HOUR_S, restarts: false },
  { name: 'a year ahead at a start', seconds: YEAR_S, restarts: true },
  { name: 'a year back while it runs', seconds: -YEAR_S, restarts: false },
  { name: 'a year back at a start', seconds: -YEAR_S, restarts: true },
]

export const clock: Fault = {
  name: 'clock',
  title:
    'the wall clock jumps (a shim before the C library) with retention by age and producers: ' +
    'nothing is trimmed or forgotten, and no time in a stream goes back',
  needs: ['gcc'],
  isParallel: true,
  cases: () => JUMPS.map(jump => ({ name: jump.name, run: trial => jumpOnce(trial, jump) })),
}

async function jumpOnce(trial: Trial, { seconds, restarts }: Jump): Promise<void> {
  const data = trial.path('data')
  const ahead = trial.path('ahead')
  writeFileSync(ahead, '0')
  const shim = compile('shim', trial.path('shim.so'), ['-shared', '-fPIC', '-ldl'])
  const env = { LD_PRELOAD: shim, TORTURE_CLOCK: ahead }
  const args = [...SMALL, '--producer-expiry-seconds=3600']
  let server = await Server.start(trial, { data, env, args })
  const ledger = new Ledger(trial)
  const retention = { retention: { maxAgeSeconds: MAX_AGE_S } }
  const type = { 'content-type': 'application/json' }
  await server.client.send('PUT', streamPath(KEPT), JSON.stringify(retention), type)
  for (let count = 0; count < 30; count += 1) await append(trial, server.client, ledger)
  const produced = [{ text: ledger.text() }]
  const sent = ledger.send([{ stream: PRODUCED, records: produced }])
  const headers = { 'producer-id': 'p', 'producer-epoch': '0', 'producer-seq': '0' }
  ledger.answered(sent, await server.client.append(PRODUCED, { records: produced, headers }))
  await sleep(LOOKS_MS)
  if (restarts) await server.stop()
  writeFileSync(ahead, `${seconds}`)
  if (restarts) server = await Server.start(trial, { data, env, args })
  await expectJump(trial, server.client, seconds)
  await sleep(LOOKS_MS)
  for (let count = 0; count < 30; count += 1) await append(trial, server.client, ledger)
  await sleep(LOOKS_MS)
  await auditWhole(trial, server.client, ledger)
  await expectOrder(trial, server.client)
  const again = await server.client.append(PRODUCED, { records: produced, headers })
  if (again.json['duplicate'] !== true) {
    trial.find('wrong', `a producer was forgotten: ${describe(again)}`)
  }
}

async function append(trial: Trial, client: Client, ledger: Ledger): Promise<void> {
  const records = [{ text: ledger.text(8_000) }]
  const sent = ledger.send([{ stream: KEPT, records }])
  const answer = await client.append(KEPT, { records })
  if (!ledger.answered(sent, answer)) trial.find('refused', `append: ${describe(answer)}`)
}

/** A shim that the program does not see would let every case pass. */
async function expectJump(trial: Trial, client: Client, seconds: number): Promise<void> {
  const { headers } = await client.get('/v1/health')
  const aheadMs = Date.parse(String(headers['date'])) - Date.now()
  if (Math.abs(aheadMs / 1000 - seconds) > 60) {
    trial.notApplied = `the clock of the service did not jump: it is ${aheadMs} ms ahead`
  }
}

async function expectOrder(trial: Trial, client: Client): Promise<void> {
  const page = await client.get(`${streamPath(KEPT)}/records?limit=1000`)
  const records = (page.json['records'] ?? []) as readonly { readonly timestamp: string }[]
  const times = records.map(({ timestamp }) => Date.parse(timestamp))
  const back = times.findIndex((time, at) => time < (times[at - 1] ?? 0))
  if (back > 0) trial.find('wrong', `the time of record ${back} is before that of the one before`)
}

import { auditWhole, verifyWhole } from '../audit.ts'
import { Ledger } from '../ledger.ts'
import { Load } from '../load.ts'
import { damageIn, Refused, runCommand, Server, SMALL } from '../server.ts'
import { type Case, type Fault, type Size, sleep, type Trial } from '../trial.ts'

/** The rule: a killed service is ready again within this time. */
const READY_MS = 2_000
const KILLS = 6
const LIFE_MS = 500

export const kill: Fault = {
  name: 'kill',
  title: 'kill -9 of the process under mixed load, start-ups included',
  needs: [],
  cases: size => [...killCases(size, 1), ...killCases(size, 4)],
}

function killCases({ rounds }: Size, shards: number): Case[] {
  return Array.from({ length: Math.ceil(rounds / 2) }, (_, count) => ({
    name: `${shards} shards, run ${count}`,
    run: trial => killOften(trial, shards),
  }))
}

async function killOften(trial: Trial, shards: number): Promise<void> {
  const data = trial.path('data')
  const args = [...SMALL.filter(arg => !arg.startsWith('--shards')), `--shards=${shards}`]
  const ledger = new Ledger(trial)
  const load = new Load(trial, ledger)
  try {
    for (let round = 0; round < KILLS; round += 1) {
      if (round % 3 === 2) await killStart(trial, data, args)
      const server = await startReady(trial, data, args)
      await auditWhole(trial, server.client, ledger)
      let isOver = false
      const ended = load.run(server.client, () => isOver)
      await sleep(LIFE_MS + trial.random.below(LIFE_MS))
      isOver = true
      await server.kill()
      await ended
    }
    await checkEnd(trial, data, args, ledger)
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    trial.find('refused', `start: ${error.message}`)
  }
  trial.note('records accepted', load.accepted)
}

/** Kills a start half-way: recovery must be as safe to interrupt as anything else. */
async function killStart(trial: Trial, data: string, args: readonly string[]): Promise<void> {
  const starting = Server.start(trial, { data, args, killAfterMs: 150 + trial.random.below(400) })
  await starting.then(
    server => server.kill(),
    (error: unknown) => {
      if (!(error instanceof Refused)) throw error
    },
  )
}

async function startReady(trial: Trial, data: string, args: readonly string[]): Promise<Server> {
  const startMs = performance.now()
  const server = await Server.start(trial, { data, args })
  if (!(await server.isReady(10_000))) {
    const { body } = await server.client.get('/v1/ready')
    trial.find('refused', `not ready after a kill: ${body.toString().slice(0, 300)}`)
  }
  const readyMs = Math.round(performance.now() - startMs)
  trial.note('slowest start ms', readyMs)
  if (readyMs > READY_MS) trial.find('slow', `ready only after ${readyMs} ms`)
  return server
}

async function checkEnd(
  trial: Trial,
  data: string,
  args: readonly string[],
  ledger: Ledger,
): Promise<void> {
  const server = await startReady(trial, data, args)
  await auditWhole(trial, server.client, ledger)
  await verifyWhole(trial, server.client, ledger)
  const code = await server.stop()
  if (code !== 0) trial.find('slow', `a clean stop ended with ${code}`)
  const verified = await runCommand(['verify', '--data', data])
  if (verified.code !== 0) trial.find('wrong', `varve verify: ${damageIn(verified)}`)
}

import { auditWhole } from '../audit.ts'
import { Ledger } from '../ledger.ts'
import { Load } from '../load.ts'
import { Server, SMALL } from '../server.ts'
import { type Fault, sleep, type Trial } from '../trial.ts'

/** Shorter than the pauses, and longer than a sync takes on a machine that others load. */
const STALL_MS = 4_000
const PAUSES_MS = { ci: [5_000, 8_000], long: [5_000, 8_000, 20_000, 60_000] }
const ROUNDS = 2
const BEFORE_MS = 600

export const pause: Fault = {
  name: 'pause',
  title: 'SIGSTOP under mixed load for longer than stallMs, then SIGCONT: nothing fails',
  needs: [],
  cases: ({ isLong }) =>
    PAUSES_MS[isLong ? 'long' : 'ci'].map(pauseMs => ({
      name: `${pauseMs} ms`,
      run: trial => stopAndContinue(trial, pauseMs),
    })),
}

async function stopAndContinue(trial: Trial, pauseMs: number): Promise<void> {
  const ledger = new Ledger(trial)
  const args = [...SMALL, `--stall-ms=${STALL_MS}`]
  const server = await Server.start(trial, { data: trial.path('data'), args })
  let isOver = false
  const load = new Load(trial, ledger)
  const ended = load.run(server.client, () => isOver)
  for (let round = 0; round < ROUNDS; round += 1) {
    await sleep(BEFORE_MS)
    server.signal('SIGSTOP')
    await sleep(pauseMs)
    server.signal('SIGCONT')
  }
  await sleep(BEFORE_MS)
  isOver = true
  await ended
  if (!(await server.isReady(5_000))) trial.find('refused', 'not ready after a pause')
  await auditWhole(trial, server.client, ledger)
}

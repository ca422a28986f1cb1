import { auditWhole } from '../audit.ts'
import { Ledger } from '../ledger.ts'
import { Load } from '../load.ts'
import { Refused, Server } from '../server.ts'
import { type Fault, sleep, type Trial } from '../trial.ts'

const ATTEMPTS = 3
/** A second server has to leave at once, not when it is tired of waiting. */
const LEAVE_MS = 5_000

export const twoServers: Fault = {
  name: 'two-servers',
  title: 'a second server on the directory of a first that serves, is stopped, or was killed',
  needs: [],
  cases: ({ isLong }) => [
    ...(isLong ? [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] : [0]).map(count => ({
      name: `beside a load, run ${count}`,
      run: (trial: Trial) => besideLoad(trial, 'running'),
    })),
    { name: 'beside a stopped process', run: trial => besideLoad(trial, 'stopped') },
    { name: 'without any tool in the path', run: withoutTools },
    { name: 'both at once', run: bothAtOnce },
  ],
}

async function besideLoad(trial: Trial, first: 'running' | 'stopped'): Promise<void> {
  const data = trial.path('data')
  const ledger = new Ledger(trial)
  const server = await Server.start(trial, { data })
  let isOver = false
  const load = new Load(trial, ledger).run(server.client, () => isOver)
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    await sleep(100)
    if (first === 'stopped') server.signal('SIGSTOP')
    await expectRefusal(trial, data)
    if (first === 'stopped') server.signal('SIGCONT')
  }
  isOver = true
  await load
  await auditWhole(trial, server.client, ledger)
  await server.kill()
  // Whoever comes after a kill is no second.
  const next = await Server.start(trial, { data })
  await auditWhole(trial, next.client, ledger)
}

/** The lock needs no program: it holds, or the directory is not served. */
async function withoutTools(trial: Trial): Promise<void> {
  const data = trial.path('data')
  const env = { PATH: '/nonexistent' }
  const server = await Server.start(trial, { data, env }).catch((error: unknown) => {
    if (!(error instanceof Refused)) throw error
    trial.find('refused', `without tools in the path: ${error.message}`)
  })
  if (server !== undefined) await expectRefusal(trial, data, env)
}

async function bothAtOnce(trial: Trial): Promise<void> {
  const data = trial.path('data')
  const starts = await Promise.allSettled([0, 1, 2].map(() => Server.start(trial, { data })))
  const serving = starts.filter(({ status }) => status === 'fulfilled').length
  if (serving > 1) trial.find('wrong', `${serving} servers serve one directory`)
  if (serving === 0) trial.find('refused', 'of three that start at once, none serves')
}

async function expectRefusal(
  trial: Trial,
  data: string,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const startMs = performance.now()
  try {
    const second = await Server.start(trial, { data, env })
    trial.find('wrong', 'a second server serves the directory')
    await second.kill()
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    if (!/in use|locked|another/i.test(error.message)) {
      trial.find('wrong', `a second server left without saying why: ${error.message}`)
    }
  }
  const leftMs = performance.now() - startMs
  if (leftMs > LEAVE_MS) trial.find('slow', `a second server left after ${Math.round(leftMs)} ms`)
}

import { readdirSync } from 'node:fs'
import { audit, auditWhole } from '../audit.ts'
import { describe } from '../client.ts'
import { Ledger } from '../ledger.ts'
import { Load } from '../load.ts'
import { Refused, Server } from '../server.ts'
import { must } from '../tools.ts'
import { type Fault, sleep, type Trial, until } from '../trial.ts'

const FAULT_MS = 1_500
const BACK_MS = 10_000
const KIB = 1024
const MIB = 1024 * KIB

type Limit = {
  readonly name: 'nofile' | 'fsize' | 'as'
  readonly how: string
  readonly value: (server: Server) => number
  /** Whether it may fail a journal write, which ends a shard until the next start. */
  readonly isFinal: boolean
}

/**
 * Limits of the process, lowered while it runs. Whether it dies of one is up to Node; what it
 * answered holds either way.
 */
// biome-ignore format: a table of limits is read by column
const LIMITS: readonly Limit[] = [
  { name: 'nofile', how: 'one more than is open',  value: server => openFiles(server) + 1, isFinal: false },
  { name: 'nofile', how: 'fewer than are open',    value: server => openFiles(server) - 2, isFinal: false },
  { name: 'fsize',  how: 'half a journal file',    value: () => 256 * KIB, isFinal: true },
  { name: 'fsize',  how: 'a page',                 value: () => 4 * KIB, isFinal: true },
  { name: 'as',     how: '64 MiB more than is used', value: server => addressSpace(server) + 64 * MIB, isFinal: true },
  { name: 'as',     how: 'what is used',           value: server => addressSpace(server), isFinal: true },
]

export const limits: Fault = {
  name: 'limits',
  title: 'prlimit on open files, file size and address space lowered under load, then raised again',
  needs: ['prlimit'],
  isParallel: true,
  cases: () =>
    LIMITS.map(limit => ({
      name: `${limit.name}, ${limit.how}`,
      run: trial => lower(trial, limit),
    })),
}

async function lower(trial: Trial, { name, value, isFinal }: Limit): Promise<void> {
  const data = trial.path('data')
  const ledger = new Ledger(trial)
  const server = await Server.start(trial, { data })
  let isLimited = false
  let isOver = false
  const load = new Load(trial, ledger, {
    onRefusal: (what, answer) => {
      if (!isLimited) trial.find('refused', `${what}: ${describe(answer)}`)
      // While limited anything may be refused, but by name.
      else if (answer.json['code'] === 'internal')
        trial.find('wrong', `${what}: ${describe(answer)}`)
    },
  })
  const ended = load.run(server.client, () => isOver)
  await sleep(FAULT_MS)
  isLimited = true
  const before = softLimit(server, name)
  must('prlimit', '--pid', `${server.pid}`, `--${name}=${value(server)}:`)
  await sleep(FAULT_MS)
  if (server.isRunning) must('prlimit', '--pid', `${server.pid}`, `--${name}=${before}:`)
  else trial.note('processes that died of a limit', 1)
  isOver = true
  await ended
  if (server.isRunning && !isFinal) await expectBack(trial, server, ledger)
  await server.kill()
  await checkAgain(trial, data, ledger)
}

/** With the limit gone the same process serves everything again. */
async function expectBack(trial: Trial, server: Server, ledger: Ledger): Promise<void> {
  let refusal = ''
  const isBack = await until(BACK_MS, async () => {
    for (const stream of ['shared 0', 'shared 1', 'shared 2', 'shared 3']) {
      const records = [{ text: ledger.text() }]
      const sent = ledger.send([{ stream, records }])
      const answer = await server.client.append(stream, { records })
      if (!ledger.answered(sent, answer)) {
        refusal = describe(answer)
        return undefined
      }
    }
    return true
  })
  if (isBack === undefined) trial.find('refused', `it does not come back: ${refusal}`)
  for (const { stream, refusal: refused } of await audit(trial, server.client, ledger)) {
    if (refused !== undefined) trial.find('refused', `read of ${stream}: ${describe(refused)}`)
  }
}

async function checkAgain(trial: Trial, data: string, ledger: Ledger): Promise<void> {
  try {
    const server = await Server.start(trial, { data })
    await auditWhole(trial, server.client, ledger)
    await server.stop()
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    trial.find('refused', `start: ${error.message}`)
  }
}

function softLimit({ pid }: Server, name: string): string {
  return must('prlimit', '--pid', `${pid}`, `--${name}`, '--noheadings', '--output=SOFT').trim()
}

function openFiles({ pid }: Server): number {
  const numbers = readdirSync(`/proc/${pid}/fd`).map(Number)
  return Math.max(...numbers)
}

function addressSpace({ pid }: Server): number {
  const text = must('cat', `/proc/${pid}/status`)
  return Number(/^VmSize:\s+(\d+) kB/m.exec(text)?.[1]) * 1024
}

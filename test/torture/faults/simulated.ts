import { rowsOf } from '../programs.ts'
import type { Fault, Trial } from '../trial.ts'

type Report = {
  readonly seeds: number
  readonly answered: number
  /** None in the history of damage. */
  readonly crashes: number
  readonly failures: readonly { readonly seed: number; readonly message: string }[]
}

export const simulated: Fault = {
  name: 'simulated',
  title:
    'the real engine on a simulated disk that loses, tears and reorders writes, with crashes at ' +
    'any call, inside recoveries too, and with files that are lost or stale; each try is a seed',
  needs: [],
  cases: ({ seeds }) =>
    ['engine', 'transactions', 'damage'].map(history => ({
      name: history,
      isUnbounded: true,
      run: (trial: Trial) => runSeeds(trial, history, seeds),
    })),
}

async function runSeeds(trial: Trial, history: string, seeds: number): Promise<void> {
  const from = 1 + trial.random.below(1_000_000)
  const program = 'integrity/run-seeds.js'
  const args = ['--history', history, '--from', `${from}`, '--seeds', `${seeds}`]
  const [report] = (await rowsOf<Report>(trial, program, args)) as [Report]
  const { failures, crashes, answered } = report
  trial.note(`operations answered in ${history}`, answered)
  if (crashes > 0) trial.note(`crashes of ${history}`, crashes)
  for (const { seed, message } of failures) {
    const again = `node dist/test/${program} --history ${history} --from ${seed} --seeds 1`
    trial.find('lost', `${message.slice(0, 300)}; again: ${again}`)
  }
  trial.tally = { tries: report.seeds, survived: report.seeds - failures.length, notApplied: 0 }
}

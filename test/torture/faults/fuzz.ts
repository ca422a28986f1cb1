import type { FuzzRow } from '../../fuzz/fuzz-report.ts'
import { rowsOf } from '../programs.ts'
import type { Fault, Trial } from '../trial.ts'

export const fuzz: Fault = {
  name: 'fuzz',
  title:
    'mutated requests, WebSocket frames, raw bytes, decoder inputs and store files: no answer ' +
    'outside the contract, no hang, nothing lost',
  needs: [],
  cases: ({ requests }) => [
    {
      name: 'requests, sockets, decoders and stores',
      isUnbounded: true,
      run: trial => fuzzAll(trial, requests),
    },
  ],
}

async function fuzzAll(trial: Trial, requests: number): Promise<void> {
  const seed = trial.random.below(1_000_000)
  const args = ['--requests', `${requests}`, '--seed', `${seed}`]
  const rows = await rowsOf<FuzzRow>(trial, 'fuzz/run.js', args)
  for (const { fault, lost, failures, residentMiB } of rows) {
    const again = `node dist/test/fuzz/run.js ${args.join(' ')}`
    for (const failure of failures) {
      trial.find(lost > 0 ? 'lost' : 'wrong', `${fault}: ${failure.slice(0, 300)}; again: ${again}`)
    }
    if (residentMiB !== undefined) trial.note(`resident MiB of ${fault}`, residentMiB)
  }
  const sum = (count: 'tries' | 'survived') => rows.reduce((total, row) => total + row[count], 0)
  trial.tally = { tries: sum('tries'), survived: sum('survived'), notApplied: 0 }
}

import { SABOTAGES } from '../../sabotage/sabotages.ts'
import { rowsOf } from '../programs.ts'
import type { Fault, Trial } from '../trial.ts'

type Outcome = {
  readonly number: number
  readonly what: string
  readonly caughtBy: string | null
  readonly isTried: boolean
}

export const sabotage: Fault = {
  name: 'sabotage',
  isOnlyByName: true,
  title:
    'one-line sabotages of the source, one by one in a copy; a sabotage counts as survived when ' +
    'a test catches it',
  needs: [],
  cases: () =>
    [...numbersByFile()].map(([file, numbers]) => ({
      name: `${file}, ${numbers.length} sabotages`,
      isUnbounded: true,
      run: trial => applyAll(trial, numbers),
    })),
}

/** Numbers of the sabotages, as its program counts them, by the file that they change. */
function numbersByFile(): Map<string, number[]> {
  const numbers = new Map<string, number[]>()
  for (const [index, { file }] of SABOTAGES.entries()) {
    numbers.set(file, [...(numbers.get(file) ?? []), index + 1])
  }
  return numbers
}

async function applyAll(trial: Trial, numbers: readonly number[]): Promise<void> {
  const args = ['--json', '--only', numbers.join(',')]
  const outcomes = await rowsOf<Outcome>(trial, 'sabotage/run.js', args)
  const tried = outcomes.filter(({ isTried }) => isTried)
  const missed = tried.filter(({ caughtBy }) => caughtBy === null)
  for (const { number, what } of missed) {
    const again = `node dist/test/sabotage/run.js --only ${number}`
    trial.find('wrong', `no test catches sabotage ${number}, ${what}; again: ${again}`)
  }
  trial.tally = {
    tries: tried.length,
    survived: tried.length - missed.length,
    notApplied: outcomes.length - tried.length,
  }
}

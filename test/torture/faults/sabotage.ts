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
  cases: () => [{ name: 'all', isUnbounded: true, run: sabotageAll }],
}

async function sabotageAll(trial: Trial): Promise<void> {
  const outcomes = await rowsOf<Outcome>(trial, 'sabotage/run.js', ['--json'])
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

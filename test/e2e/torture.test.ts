import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FAULTS } from '../torture/faults.ts'
import { missing } from '../torture/tools.ts'
import { Trial } from '../torture/trial.ts'

// The share of `npm run torture` that every run pays for; the rest takes longer.

const SIZE = { isLong: false, rounds: 2, seeds: 1, requests: 1, loadMinutes: 1, seed: 1 }
const SHARE: readonly (readonly [fault: string, name: string])[] = [
  ['histories', 'history 0'],
  ['two-servers', 'without any tool in the path'],
  ['two-servers', 'both at once'],
  ['disk-full', 'tmpfs, reserve kept, run 0'],
  ['tamper', 'catalogue, exchanged with another, stopped'],
  ['tamper', 'varve.json, removed, stopped'],
  ['tamper', 'sealed segment, tail of noise, stopped'],
]

const torture = suite('e2e/torture')

for (const [name, part] of SHARE) {
  const fault = FAULTS.find(candidate => candidate.name === name)
  const lacking = missing(fault?.needs ?? [])
  const share = lacking.length > 0 ? torture.skip : torture
  share(`${name}: ${part}: nothing is lost, wrong or refused`, async () => {
    const found = fault?.cases(SIZE).find(candidate => candidate.name === part)
    assert.ok(found, 'the case is in the table')
    const trial = new Trial(SIZE.seed)
    try {
      await found?.run(trial)
      assert.equal(trial.findings, [])
      assert.is(trial.notApplied, undefined)
    } finally {
      await trial.close()
    }
  })
}

torture.run()

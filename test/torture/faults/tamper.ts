import { baseStores, copy } from '../tamper/store.ts'
import { tamper, type TamperCase, tamperCases } from '../tamper/targets.ts'
import { TamperRun } from '../tamper/tamper-run.ts'
import type { Case, Fault } from '../trial.ts'
import { giveAway, NOBODY } from '../tools.ts'

export const tampering: Fault = {
  name: 'tamper',
  title:
    'every kind of file removed, emptied, cut, flipped, rewritten, exchanged, put back, linked ' +
    'or locked away, then reads, appends, a second start, `varve verify`, `varve repair`, and ' +
    'all of it again',
  needs: [],
  isParallel: true,
  cases: ({ isLong }) => tamperCases(isLong).map(caseOf),
}

function caseOf(one: TamperCase): Case {
  return {
    name: `${one.kind.name}, ${one.tampering.name}, ${one.variant}`,
    run: async trial => {
      const base = await baseStores()
      const data = trial.path('data')
      copy(base[one.variant], data)
      const isTampered = tamper(data, one, base)
      const isOther = one.tampering.needsUser === true
      if (!isTampered) trial.notApplied = 'the store has nothing that fits'
      else if (isOther && !giveAway(data)) trial.notApplied = 'no other user can run the service'
      else {
        const user = isOther ? NOBODY : undefined
        await new TamperRun(trial, data, one, base.ledger.copy(trial), user).run()
      }
    },
  }
}

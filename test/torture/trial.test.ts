import { existsSync, mkdirSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { closeTrials, Trial } from './trial.ts'

const trials = suite('torture/trial')

trials('what is cleaned up comes in reverse order, and with it the directory', async () => {
  const trial = new Trial(1)
  const order: number[] = []
  const path = trial.path('deep/directory')
  mkdirSync(path)
  for (const count of [1, 2, 3]) trial.defer(() => order.push(count))

  await trial.close()

  assert.equal(order, [3, 2, 1])
  assert.not.ok(existsSync(path))
})

trials('what a case adds after it was cut off is cleaned up at once', async () => {
  const trial = new Trial(1)
  await trial.close()
  let isCleaned = false

  trial.defer(() => {
    isCleaned = true
  })

  assert.ok(isCleaned)
})

trials('findings that differ in their numbers alone are one, and counted', () => {
  const trial = new Trial(1)
  for (const offset of [5, 17]) trial.find('lost', `a@${offset} is gone`)
  trial.find('wrong', 'a@5 is gone')

  assert.equal(trial.findings, [
    { kind: 'lost', detail: 'a@5 is gone', count: 2 },
    { kind: 'wrong', detail: 'a@5 is gone', count: 1 },
  ])
})

// The last one, because it ends the run that this process is.
trials('a run that is interrupted ends its trials and begins no other', async () => {
  const open = [new Trial(1), new Trial(2)]
  let closed = 0
  for (const trial of open) {
    trial.defer(() => {
      closed += 1
      assert.throws(() => new Trial(3), /the run is ending/)
    })
  }

  await closeTrials()

  assert.is(closed, 2)
})

trials.run()

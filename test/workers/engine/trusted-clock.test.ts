import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { TrustedClock } from '../../../src/workers/engine/trusted-clock.ts'

const SECOND = 1e6
const HOUR = 3600 * SECOND
const DAY = 24 * HOUR
const START = 1_000_000 * SECOND

const trusted = suite('workers/engine/trusted-clock')

trusted('it follows a system clock that runs, and one that is a little fast', () => {
  const { clock, pass } = open()
  for (const [ms, driftMs] of [
    [1000, 0],
    [5000, 20],
    [60_000, 500],
    [3_600_000, 0],
  ] as const) {
    const wall = pass(ms, driftMs)
    assert.is(clock.now(), wall)
  }
})

trusted('a jump forward counts as the running time, and is said once', () => {
  const { clock, pass, said } = open()
  pass(1000, 365 * 86_400_000)
  assert.is(clock.now(), START + SECOND)
  pass(3_600_000, 0)
  assert.is(clock.now(), START + SECOND + HOUR)
  assert.equal(said, [365 * 86_400])
})

trusted('many small steps forward are a jump too', () => {
  const { clock, pass } = open()
  for (let step = 0; step < 100; step += 1) {
    pass(10, 50_000)
    clock.now()
  }
  assert.ok(clock.now() <= START + 61 * SECOND, `${clock.now() - START}`)
})

trusted('a system clock that is put right again is followed again', () => {
  const { clock, pass, said } = open()
  pass(1000, 7_200_000)
  clock.now()
  const wall = pass(1000, -7_200_000)
  assert.is(clock.now(), wall)
  pass(1000, 7_200_000)
  clock.now()
  assert.is(said.length, 2)
})

trusted('a step back is followed, and one forward to where it was is no jump', () => {
  const { clock, pass, said } = open()
  pass(5000, 0)
  clock.now()
  for (const stepMs of [-7_200_000, 7_200_000]) {
    const wall = pass(1000, stepMs)
    assert.is(clock.now(), wall)
  }
  assert.equal(said, [])
})

trusted('a start goes on at the system clock, unless that is more than a day ahead', () => {
  assert.is(open(START - DAY).clock.now(), START)
  assert.is(open(START + DAY).clock.now(), START)
  const { clock, said } = open(START - DAY - SECOND)
  assert.equal([clock.now(), said], [START - DAY - SECOND, [86_401]])
})

trusted('a start in 1970 does not make the step to today one that is never believed', () => {
  const { clock, pass, said } = open(START + DAY - SECOND)
  assert.equal([clock.now(), clock.reached], [START, START + DAY - SECOND])
  const wall = pass(1000, DAY / 1000)
  assert.equal([clock.now(), clock.reached, said], [wall, wall, []])
})

trusted('a start that is told to believes the system clock, however far it is ahead', () => {
  const environment = { nowMicros: () => START, monotonicMs: () => 0, randomBytes: () => '' }
  const said: string[] = []
  const clock = new TrustedClock(environment, undefined, message => said.push(message))
  assert.equal([clock.now(), said], [START, []])
})

/** @param last the clock at the last commit */
function open(last = START) {
  let ms = 0
  let wall = START
  const said: number[] = []
  const environment = { nowMicros: () => wall, monotonicMs: () => ms, randomBytes: () => '' }
  const clock = new TrustedClock(environment, last, (_, seconds) => said.push(seconds))
  const pass = (running: number, stepMs: number) => {
    ms += running
    wall += (running + stepMs) * 1000
    return wall
  }
  return { clock, pass, said }
}

trusted.run()

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parentPath } from '../../../src/shared/format/paths.ts'
import { makeDirectories, replaceFile } from '../../../src/workers/disk/files.ts'
import {
  decideMove,
  findMove,
  moveJournals,
  type MoveState,
} from '../../../src/workers/recovery/shard-move.ts'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'

const SEEDS = 40

const move = suite('workers/recovery/shard-move')

move('the rows cover every combination', () => {
  for (const state of states()) assert.ok(decideMove(state), JSON.stringify(state))
})

// biome-ignore format: the states that the steps of a move lead through, in order
const STEPS: readonly (readonly [step: string, state: MoveState, decision: string])[] = [
  ['before',               stateOf(false, 'journals'),         'open'],
  ['while next is built',  stateOf(false, 'journals', 'next'), 'discard'],
  ['once it is marked',    stateOf(true, 'journals', 'next'),  'move'],
  ['between the renames',  stateOf(true, 'next', 'old'),       'move'],
  ['after the renames',    stateOf(true, 'journals', 'old'),   'finish'],
  ['once the mark is off', stateOf(false, 'journals', 'old'),  'discard'],
]

for (const [step, state, decision] of STEPS) {
  move(`${step}: ${decision}`, () => {
    assert.is(decideMove(state), decision)
  })
}

move('without journals nothing is guessed, unless the move says where they are', () => {
  const missing = states().filter(state => !state.journals && decideMove(state) !== 'refuse')
  assert.equal(missing, [stateOf(true, 'next', 'old')])
})

move('what was moved stays moved when the power fails right behind it', () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const disk = new SimulatedDisk(new Random(seed))
    for (const path of ['journals/shard-00/catalogue', 'journals.next/shard-00/catalogue']) {
      makeDirectories(disk, parentPath(path))
      replaceFile(disk, path, Buffer.from(path))
    }
    moveJournals(disk)
    disk.cutPower()
    assert.equal(findMove(disk, true), stateOf(true, 'journals', 'old'), `seed ${seed}`)
    const content = disk.content('journals/shard-00/catalogue').toString()
    assert.is(content, 'journals.next/shard-00/catalogue', `seed ${seed}`)
  }
})

function states(): MoveState[] {
  const both = [false, true]
  return both.flatMap(isMarked =>
    both.flatMap(journals =>
      both.flatMap(next => both.map(old => ({ isMarked, journals, next, old }))),
    ),
  )
}

function stateOf(isMarked: boolean, ...names: ('journals' | 'next' | 'old')[]): MoveState {
  const [journals, next, old] = (['journals', 'next', 'old'] as const).map(it => names.includes(it))
  return { isMarked, journals: !!journals, next: !!next, old: !!old }
}

move.run()

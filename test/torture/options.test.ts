import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FAULTS } from './faults.ts'
import { helpText, readOptions, type Run } from './options.ts'

const options = suite('torture/options')

options('without options every fault is wanted but those that run only by name', () => {
  const { size, selection } = read()
  const wanted = FAULTS.filter(selection.isWanted).map(({ name }) => name)
  assert.not.ok(wanted.includes('sabotage'))
  assert.is(wanted.length, FAULTS.length - 1)
  assert.is(selection.endMs, Number.POSITIVE_INFINITY)
  assert.is(size.isLong, false)
})

options('the minutes are shared between the wanted faults', () => {
  assert.is(read('--minutes', '30', '--only', 'memory').size.loadMinutes, 30)
  assert.is(read('--minutes', '30', '--only', 'memory,kill,tamper').size.loadMinutes, 10)
})

options('--sabotage wants the sabotages alone, and --case some of them', () => {
  const { selection, size } = read('--sabotage', '--case', 'journal/')
  const wanted = FAULTS.filter(selection.isWanted)
  assert.equal(
    wanted.map(({ name }) => name),
    ['sabotage'],
  )
  const cases = wanted.flatMap(fault => fault.cases(size).map(({ name }) => name))
  assert.ok(cases.some(name => name.includes(selection.part)))
  assert.ok(cases.some(name => !name.includes(selection.part)))
})

options('a fault that there is not is refused with the names that there are', () => {
  assert.throws(() => read('--only', 'flood'), /there is no fault flood: expected one of kill,/)
  assert.throws(() => read('--seeds', 'many'), /many is no count/)
})

options('the report does not name the file that it is written into', () => {
  const { selection, markdown } = read('--only', 'kill', '--markdown', 'page.md', '--seed', '7')
  assert.equal([selection.asked, markdown], ['--only kill --seed 7', 'page.md'])
})

options('help names every option and every fault', () => {
  assert.is(readOptions(['--help']), undefined)
  const help = helpText()
  for (const { name } of FAULTS) assert.match(help, `\n  ${name}`)
  for (const name of ['--only', '--case', '--minutes', '--jobs', '--markdown', '--sabotage']) {
    assert.match(help, name)
  }
})

function read(...args: string[]): Run {
  const run = readOptions(args)
  assert.ok(run)
  return run
}

options.run()

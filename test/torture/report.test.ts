import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FAULTS } from './faults.ts'
import { writeReport } from './report.ts'
import { emptyRow, type Made, type Row } from './table.ts'
import type { Fault, Size } from './trial.ts'

const SIZE: Size = {
  isLong: false,
  rounds: 4,
  seeds: 10,
  requests: 20,
  loadMinutes: 2,
  seed: 7,
}
const MADE: Made = { size: SIZE, asked: '--seed 7', minutes: 31.4 }

const report = suite('torture/report')

report('a run replaces what the last one wrote, and keeps the introduction', () => {
  const page = written('# Reliability\n\nBy hand.\n\n## Last run\n\nof yesterday\n', rows())
  assert.match(
    page,
    /^# Reliability\n\nBy hand.\n\n## Last run\n\n`npm run torture -- --seed 7` on 20/,
  )
  assert.not.match(page, /of yesterday/)
  assert.match(page, /31 minutes, seed 7, 4 rounds, 10 simulated seeds, 20 requests/)
  assert.match(page, /Load average at the end/)
})

report('what was not tried is named with its reason', () => {
  const all = rows()
  const [first, second, third] = all as [Row, Row, Row]
  all[0] = { ...first, skipped: ['mount', 'gcc'] }
  second.tries = 2
  second.notRun = 3
  third.notApplied = 1
  const page = written('', all)
  assert.match(page, `- ${first.fault.name}: skipped, because it needs mount and gcc`)
  assert.match(page, `- ${second.fault.name}: 3 cases not run`)
  assert.match(page, `- ${third.fault.name}: 1 cases in which the fault was not made`)
})

report('a case that failed is listed with the command that runs it again', () => {
  const all = rows()
  all[0]?.failed.push('kill, run 0: lost: s@5 (`npm run torture -- --only kill --seed 9`)')
  const page = written('', all)
  assert.match(page, /### Cases that failed\n\n- kill, run 0: lost: s@5 \(`npm run/)
  assert.match(written('', rows()), /### Cases that failed\n\nNone\./)
})

function rows(): Row[] {
  return FAULTS.slice(0, 4).map((fault: Fault) => ({
    ...emptyRow(fault, []),
    tries: 1,
    survived: 1,
  }))
}

function written(before: string, all: readonly Row[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'varve-report-'))
  try {
    const path = join(directory, 'page.md')
    writeFileSync(path, before)
    writeReport(path, all, MADE)
    return readFileSync(path, 'utf8')
  } finally {
    rmSync(directory, { recursive: true })
  }
}

report.run()

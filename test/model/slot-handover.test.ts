import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const MODEL = 'slot-handover.pml'
/** Of the checker, MB; it stops with an error rather than take more. */
const MEMORY_MB = 300

const ASSERTION = /assertion violated/
const STUCK = /invalid end state/

// biome-ignore format: a table of broken protocols
const TWINS: readonly (readonly [macro: string, what: string, found: RegExp])[] = [
  ['TWIN_DURABLE_BEFORE_SYNC',   'the durable mark moves before the sync',          ASSERTION],
  ['TWIN_FREE_BEFORE_DURABLE',   'a slot is free before its block counts as durable', ASSERTION],
  ['TWIN_NO_SYNCED_STATE',       'a failed shard does not stop the flusher',        ASSERTION],
  ['TWIN_MARK_BEFORE_FAILURE',   'the front end looks at the failure last',         ASSERTION],
  ['TWIN_FLUSHER_LOOKS_FIRST',   'the flusher reads its bell after the slots',      STUCK],
  ['TWIN_FRONT_END_LOOKS_FIRST', 'the front end reads its bell after the mark',     STUCK],
  ['TWIN_SEAL_DOES_NOT_RING',    'sealing wakes nobody',                            STUCK],
  ['TWIN_FLUSH_DOES_NOT_RING',   'a flush wakes nobody',                            STUCK],
  ['TWIN_FAILURE_DOES_NOT_RING', 'a failure wakes nobody',                          STUCK],
]

const hasTools = [
  ['spin', '-V'],
  ['gcc', '--version'],
].every(([tool = '', option = '']) => spawnSync(tool, [option]).status === 0)

const model = suite('model/slot-handover')
const checked = hasTools ? model : model.skip
const note = hasTools ? '' : ' (skipped: there is no spin or no gcc)'

checked(`no interleaving of appender, flusher and front end breaks the handover${note}`, () => {
  const output = check(undefined)
  assert.match(output, /errors: 0/)
  assert.not.match(output, /error: max search depth|out of memory|MEMLIM bound/)
})

for (const [macro, what, found] of TWINS) {
  checked(`it would be noticed: ${what}${note}`, () => {
    const output = check(macro)
    assert.match(output, /errors: 1/)
    assert.match(output, found)
  })
}

/** What the checker says of the model, with a macro defined. */
function check(macro: string | undefined): string {
  const directory = mkdtempSync(join(tmpdir(), 'varve-model-'))
  try {
    copyFileSync(join('test', 'model', MODEL), join(directory, MODEL))
    const twin = macro === undefined ? [] : [`-D${macro}`]
    run(directory, 'spin', ['-a', ...twin, MODEL])
    const options = ['-O1', '-DSAFETY', '-DCOLLAPSE', `-DMEMLIM=${MEMORY_MB}`]
    run(directory, 'gcc', [...options, '-o', 'pan', 'pan.c'])
    return run(directory, './pan', ['-m10000'])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function run(cwd: string, command: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  assert.is(status, 0, `${command} ${args.join(' ')}: ${stdout}${stderr}`)
  return stdout
}

model.run()

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ProducerStream } from '../support/producer-server.ts'
import { Random } from '../support/random.ts'
import { withScript } from '../support/scripted-server.ts'

const kill = suite('e2e/append-kill')

const COMMAND = resolve(import.meta.dirname, '../../src/main/index.js')
const KILLS = 8

/** Runs the command to its end, or to its death; its exit code, null when it was killed. */
async function run(args: readonly string[], onStart: (end: () => void) => void) {
  const child = spawn(process.execPath, [COMMAND, 'append', ...args], { stdio: 'ignore' })
  onStart(() => child.kill('SIGKILL'))
  const [code] = (await once(child, 'exit')) as [number | null]
  return code
}

kill(
  'an import whose process is killed again and again is in the stream exactly once',
  async () => {
    const seed = Number(process.env['SEED'] ?? 1)
    const random = new Random(seed)
    const directory = mkdtempSync(join(tmpdir(), 'varve-append-'))
    const [file, state] = [join(directory, 'lines.txt'), join(directory, 'state.json')]
    const lines = Array.from({ length: 2000 }, (_, n) => `line ${n}`)
    writeFileSync(file, lines.map(line => `${line}\n`).join(''))
    const stream = new ProducerStream()
    let end = (): void => undefined
    let kills = 0
    const servers = withScript(
      request => {
        const isKilled = kills < KILLS && random.chance(0.15)
        const isApplied = !isKilled || random.chance(0.5)
        const answer = isApplied ? stream.answer(request) : 'reset'
        if (isKilled) end()
        if (isKilled) kills += 1
        return answer
      },
      async url => {
        const args = ['s', file, '--lines', '--batch-records', '20', '--url', url, '--state', state]
        for (let code: number | null = null, turn = 0; code !== 0; turn += 1) {
          assert.ok(turn < KILLS + 2, `SEED=${seed}: it does not end`)
          const flags = turn === 0 ? [] : ['--resume']
          code = await run([...args, ...flags], stop => void (end = stop))
        }
      },
    )
    await servers.finally(() => rmSync(directory, { recursive: true }))
    assert.equal([stream.bodies, kills], [lines, KILLS], `SEED=${seed}`)
  },
)

kill.run()

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

type Outcome = { readonly code: number | null; readonly lines: readonly string[] }

const RUNNER = join(import.meta.dirname, 'run.js')
/** Inside the project, so that a fixture's `import 'uvu'` resolves. */
const FIXTURES = resolve(import.meta.dirname, '..')

const IMPORT = "import { suite } from 'uvu'\nconst it = suite('fixture')\n"
const PASSING = `${IMPORT}it('holds', () => {})\nit('holds too', () => {})\nit.run()\n`
const THROW = "() => { throw new Error('broken on purpose') }"

const run = suite('run')

run('what passes is counted', async () => {
  const { code, lines } = await runOver({ 'a.test.js': PASSING, 'deep/b.test.js': PASSING })
  assert.is(code, 0)
  assert.is(lines.at(-1), '4 passed, 0 failed')
  assert.match(lines.join('\n'), /^ok {3}deep\/b\.test\.js {2}2 passed, 0 failed {2}\d+\.\d s$/m)
})

run('a skipped test is counted apart', async () => {
  const text = `${IMPORT}it('holds', () => {})\nit.skip('later', () => {})\nit.run()\n`
  const { code, lines } = await runOver({ 'a.test.js': text })
  assert.is(code, 0)
  assert.is(lines.at(-1), '1 passed, 0 failed, 1 skipped')
})

run('only files whose path holds the given part are run', async () => {
  const { lines } = await runOver({ 'e2e/a.test.js': PASSING, 'b.test.js': PASSING }, ['e2e/'])
  assert.is(lines.at(-1), '2 passed, 0 failed')
})

run('two files run at a time, those that take long first', async () => {
  // Each one leaves a mark while it runs, counts the marks, and says when it began.
  const text = `${IMPORT}import { mkdirSync, readdirSync, rmdirSync } from 'node:fs'
    it('runs', async () => {
      const [root] = /^.*run-fixtures-[^/]*/.exec(import.meta.dirname)
      const marks = root + '/marks'
      const mark = marks + '/' + process.pid
      mkdirSync(mark, { recursive: true })
      if (readdirSync(marks).length > 2) throw new Error('three at a time')
      await new Promise(resolve => setTimeout(resolve, 100))
      rmdirSync(mark)
    })
    it.run()`
  const { lines } = await runOver({
    'a.test.js': text,
    'b.test.js': text,
    'e2e/c.test.js': text,
    'integrity/d.test.js': text,
  })
  assert.is(lines.at(-1), '4 passed, 0 failed')
  const order = lines.filter(line => line.startsWith('ok')).map(line => line.split(/ +/)[1])
  assert.equal(new Set(order.slice(0, 2)), new Set(['e2e/c.test.js', 'integrity/d.test.js']))
})

run('a failing test is counted, and the whole output shown', async () => {
  const text = `${IMPORT}console.log('on the way'); console.error('on the other way')
    it('holds', () => {}); it('breaks', ${THROW}); it.run()`
  const { code, lines } = await runOver({ 'a.test.js': text, 'b.test.js': PASSING })
  assert.is(code, 1)
  assert.is(lines.at(-1), '3 passed, 1 failed')
  assert.ok(lines.includes('     | on the way'))
  assert.ok(lines.includes('     | on the other way'))
  assert.match(lines.join('\n'), /broken on purpose/)
})

run('a failing test is not offset by a skipped one', async () => {
  const text = `${IMPORT}it('breaks', ${THROW})\nit.skip('later', () => {})\nit.run()\n`
  const { code, lines } = await runOver({ 'a.test.js': text })
  assert.is(code, 1)
  assert.is(lines.at(-1), '0 passed, 1 failed, 1 skipped')
})

/** Each fails with a `reason`, though uvu exits 0 in most of them. */
const SILENT: readonly { name: string; reason: RegExp; passed?: number; text: string }[] = [
  {
    name: 'a hook that throws before all tests',
    reason: /not all passed/,
    text: `${IMPORT}it.before(${THROW})\nit('holds', () => {})\nit.run()`,
  },
  {
    name: 'a hook that throws after all tests',
    reason: /ended with exit code 1/,
    text: `${IMPORT}it.after(${THROW})\nit('holds', () => {})\nit.run()`,
  },
  {
    name: 'a hook that throws after each test',
    reason: /not all passed/,
    text: `${IMPORT}it.after.each(${THROW})\nit('holds', () => {})\nit.run()`,
  },
  {
    name: 'a suite that is never run',
    reason: /printed 0 blocks of counts/,
    text: `${IMPORT}it('holds', () => {})`,
  },
  {
    name: 'a suite without a test',
    reason: /ran no test/,
    text: `${IMPORT}it.run()`,
  },
  {
    name: 'a file that registers nothing',
    reason: /printed 0 blocks of counts/,
    text: "import 'uvu'",
  },
  {
    name: 'a test that waits for what never comes',
    reason: /ended with exit code 1/,
    text: `${IMPORT}it('waits', () => new Promise(() => {}))\nit.run()`,
  },
  {
    name: 'a test that leaves with exit code 0',
    reason: /printed 0 blocks|ended with/,
    text: `${IMPORT}it('leaves', () => process.exit(0))\nit.run()`,
  },
  {
    name: 'an exit code that contradicts the counts',
    reason: /ended with exit code 3/,
    passed: 1,
    text: `${IMPORT}it('holds', () => { process.on('exit', () => process.exit(3)) })\nit.run()`,
  },
  {
    name: 'a rejection that nobody handles',
    reason: /ended with exit code 1/,
    text: `${IMPORT}it('drops', async () => {
      void Promise.reject(new Error('dropped'))
      await new Promise(resolve => setTimeout(resolve, 50))
    })\nit.run()`,
  },
  {
    name: 'a file that does not load',
    reason: /ended with exit code 1/,
    text: "import './absent.js'",
  },
  {
    name: 'counts printed twice',
    reason: /printed 2 blocks of counts/,
    text: `${PASSING}await new Promise(resolve => setTimeout(resolve, 50))
      it('comes late', () => {})
      it.run()`,
  },
]

for (const { name, reason, text, passed = 0 } of SILENT) {
  run(`${name} fails the run`, async () => {
    const { code, lines } = await runOver({ 'a.test.js': text })
    assert.is(code, 1)
    assert.match(lines.find(line => line.startsWith('     ')) ?? '', reason)
    assert.is(lines.at(-1), `${passed} passed, 1 failed`)
  })
}

run('a file past its time limit is killed, and what it started with it', async () => {
  const text = `${IMPORT}import { spawn } from 'node:child_process'
    spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })
    it('hangs', () => new Promise(() => {}))
    it.run()`
  const startMs = performance.now()
  const { code, lines } = await runOver({ 'a.test.js': text }, ['', '--limit-ms', '1000'])
  assert.is(code, 1)
  assert.match(lines.join('\n'), /ran longer than 1000 ms/)
  assert.is(lines.at(-1), '0 passed, 1 failed')
  assert.ok(performance.now() - startMs < 15_000)
})

run('a root without test files fails', async () => {
  const { code, lines } = await runOver({ 'a.js': PASSING })
  assert.is(code, 1)
  assert.is(lines.at(-1), '0 passed, 0 failed')
})

run('a root that does not exist fails', async () => {
  const { code, lines } = await runOver({}, [], 'absent')
  assert.is(code, 1)
  assert.is(lines.at(-1), '0 passed, 0 failed')
})

/** Writes `files` to a root of their own and gives what the runner makes of them. */
async function runOver(
  files: Readonly<Record<string, string>>,
  options: readonly string[] = [],
  below = '.',
): Promise<Outcome> {
  const root = mkdtempSync(join(FIXTURES, 'run-fixtures-'))
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true })
      writeFileSync(join(root, name), text)
    }
    const child = spawn(process.execPath, [RUNNER, join(root, below), ...options])
    let stdout = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, lines: stdout.trimEnd().split('\n') }
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

run.run()

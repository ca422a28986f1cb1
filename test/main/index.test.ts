import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { withServer } from '../support/http-server.ts'

const index = suite('main/index')

const ENTRY = resolve(import.meta.dirname, '../../src/main/index.js')
const MANIFEST = resolve(import.meta.dirname, '../../../package.json')

/** A shell command in which `varve` stands for the command under test. */
function script(command: string): string {
  return command.replaceAll(/\bvarve (?=[a-z-])/g, `"${process.execPath}" "${ENTRY}" `)
}

function shell(command: string) {
  const { status, stdout, stderr } = spawnSync('bash', ['--norc', '-c', script(command)], {
    env: { PATH: process.env['PATH'] },
    encoding: 'utf8',
    timeout: 30_000,
  })
  return { status, stdout, stderr }
}

/** Exit code of a command that talks to a server in this process, in a home of its own. */
async function shellBeside(command: string, url: string): Promise<number | null> {
  const home = mkdtempSync(join(tmpdir(), 'varve-home-'))
  const child = spawn('bash', ['--norc', '-c', script(command)], {
    env: { PATH: process.env['PATH'], VARVE_URL: url, HOME: home },
    stdio: 'ignore',
  })
  const status = await new Promise<number | null>((resolveStatus, reject) => {
    child.once('error', reject).once('exit', resolveStatus)
  })
  rmSync(home, { recursive: true })
  return status
}

index('the version is the one of the package', () => {
  const { version } = JSON.parse(readFileSync(MANIFEST, 'utf8')) as { version: string }
  assert.is(shell('varve --version').stdout, `${version}\n`)
})

index('a failure is one line on standard error, and exit code 1', () => {
  const { status, stdout, stderr } = shell('varve read s --url http://127.0.0.1:1')
  assert.equal([status, stdout], [1, ''])
  assert.match(stderr, /^varve: no answer from http:\/\/127.0.0.1:1: .*\n$/)
})

index('a usage error is exit code 2', () => {
  const { status, stderr } = shell('varve read')
  assert.is(status, 2)
  assert.match(stderr, "missing required argument 'stream'")
})

index('a reader that leaves early is no failure', () => {
  const { status, stdout, stderr } = shell('set -o pipefail; varve serve --help | head -n 1')
  assert.equal([status, stderr], [0, ''])
  assert.is(stdout, 'Usage: varve serve [options]\n')
})

index('a service starts, says where it is, and stops when told', () => {
  const data = mkdtempSync(join(tmpdir(), 'varve-index-'))
  const flags = `--data ${data} --port 0 --log-format json`
  const { status, stdout, stderr } = shell(
    `varve serve ${flags} > ${data}.log & pid=$!
     until grep -q is.serving ${data}.log; do sleep 0.05; done
     kill -TERM $pid; wait $pid; status=$?; cat ${data}.log; rm ${data}.log; exit $status`,
  )
  rmSync(data, { recursive: true })
  assert.equal([status, stderr], [0, ''])
  assert.match(stdout, /"url":"http:\/\/127\.0\.0\.1:\d+","data":".*","version":".*"/)
})

index('a file goes in by its name and comes back the same', async () => {
  await withServer(async ({ url }) => {
    const command = `varve append s ${MANIFEST} --lines && varve read s | cmp - ${MANIFEST}`
    assert.is(await shellBeside(command, url), 0)
  })
})

index.run()

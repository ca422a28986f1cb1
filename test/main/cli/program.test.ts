import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { describeError } from '../../../src/main/cli/program.ts'
import {
  ConfigError,
  describeOptions,
  flagOf,
  ServeConfig,
  variableOf,
} from '../../../src/main/config.ts'
import { StoreError } from '../../../src/shared/errors.ts'
import { runCommand } from '../../support/command.ts'

const program = suite('main/cli/program')

const COMMANDS = ['serve', 'append', 'read', 'tail', 'verify', 'inspect']

program('every command explains itself, with examples', async () => {
  for (const command of COMMANDS) {
    const { code, stdout } = await runCommand([command, '--help'])
    assert.is(code, 0)
    assert.match(stdout.toString(), new RegExp(`^Usage: varve ${command} `))
    assert.match(stdout.toString(), `Examples:\n  varve ${command}`)
  }
})

program('every option of the service is a flag of serve', async () => {
  const help = (await runCommand(['serve', '--help'])).stdout.toString()
  for (const { option, isFlag, fallback } of describeOptions(ServeConfig)) {
    const negation = isFlag && fallback === 'true' ? 'no-' : ''
    assert.match(help, `--${negation}${flagOf(option)} `)
    assert.match(help, variableOf(option))
  }
})

program('the version is printed', async () => {
  assert.is((await runCommand(['--version'])).stdout.toString(), '1.2.3\n')
})

program('what is not understood ends with 2 and points to the help', async () => {
  for (const args of [
    ['nope'],
    ['append'],
    ['read', 's', '--from', 'x'],
    ['serve', '--nope'],
    [],
  ]) {
    assert.is((await runCommand(args)).code, 2, args.join(' '))
  }
  assert.match((await runCommand(['nope'])).stderr, '(--help says more)')
})

program('a configuration that cannot be used ends with 2 before anything starts', async () => {
  const { code, stderr } = await runCommand(['serve', '--port', 'x'])
  assert.is(code, 2)
  assert.is(stderr, 'port (--port): "x" is refused: expected 0 to 65535')
})

program('a flag can turn off what the environment turns on', async () => {
  const env = { VARVE_OPEN: 'true' }
  const { stderr } = await runCommand(['serve', '--host', '0.0.0.0', '--no-open'], { env })
  assert.match(stderr, 'host (--host): "0.0.0.0" is refused')
})

program('a config file that cannot be read is a usage error', async () => {
  const { code, stderr } = await runCommand(['serve', '--config', '/no/such/file'])
  assert.equal([code, stderr], [2, 'cannot read /no/such/file: there is no such file'])
  const fromEnv = await runCommand(['read', 's'], { env: { VARVE_CONFIG: '/no/such/file' } })
  assert.is(fromEnv.code, 2)
})

program('a directory that is none cannot be verified', async () => {
  const { code, stderr } = await runCommand(['verify', '--data', '/no/such/directory'])
  assert.is(code, 1)
  assert.ok(stderr.length > 0 && !stderr.includes('\n    at '), stderr)
})

program('an expected failure is one line, a defect has its stack', () => {
  const failure = new StoreError('invalid_request', 'another process is serving it')
  assert.is(describeError(failure).text, 'invalid_request: another process is serving it')
  assert.match(describeError(new Error('broken')).text, /broken\n +at /)
})

program('each option that is refused has a line of its own', () => {
  const { text, exitCode } = describeError(new ConfigError('a\nb'))
  assert.equal([text, exitCode], ['a\nvarve: b', 2])
})

program.run()

import { PassThrough } from 'node:stream'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type CommandOptions, runCommand } from '../../support/command.ts'
import { withServer } from '../../support/http-server.ts'
import { appended, problem, withScript } from '../../support/scripted-server.ts'

const append = suite('main/cli/append')

/** Appends through the real front end, then reads back. */
async function roundTrip(
  appendFlags: readonly string[],
  input: NonNullable<CommandOptions['input']>,
  readFlags: readonly string[] = [],
): Promise<Buffer> {
  let output: Buffer = Buffer.alloc(0)
  await withServer(async ({ url }) => {
    const sent = await runCommand(['append', 's', '--url', url, ...appendFlags], { input })
    assert.is(sent.code, 0, sent.stderr)
    const read = await runCommand(['read', 's', '--url', url, ...readFlags])
    assert.is(read.code, 0, read.stderr)
    output = read.stdout
  })
  return output
}

const HARD_BYTES = Buffer.from('a\r\n\n\0\xff\xfe broken\n\xc3\xbc\nlast\n', 'latin1')

append('lines come back byte for byte', async () => {
  assert.equal(await roundTrip(['--lines'], [HARD_BYTES]), HARD_BYTES)
})

append('lines come back byte for byte from chunks and small batches', async () => {
  const chunks = Array.from(HARD_BYTES, byte => Buffer.from([byte]))
  assert.equal(await roundTrip(['--lines', '--batch-records', '2'], chunks), HARD_BYTES)
})

append('a line that is not UTF-8 becomes a binary record, others are text', async () => {
  const output = await roundTrip(
    ['--lines'],
    [Buffer.from('ü\n\xff\n', 'latin1')],
    ['--format', 'ndjson'],
  )
  const records = output.toString().trim().split('\n')
  assert.match(records[0] ?? '', '"base64":"/A=="')
  assert.match(records[1] ?? '', '"base64":"/w=="')
})

append('json lines keep their text, and empty ones are skipped', async () => {
  const input = ['{"n": 12345678901234567890}\r\n\n  \n [1]\n2']
  assert.is(
    (await roundTrip(['--ndjson'], input)).toString(),
    '{"n": 12345678901234567890}\n[1]\n2\n',
  )
})

append('without a mode the whole input is one record', async () => {
  assert.is((await roundTrip([], ['a\n', 'b\n'], ['--format', 'raw'])).toString(), 'a\nb\n')
})

append('the type of the one record is guessed, or said', async () => {
  const formats = ['--format', 'ndjson']
  assert.match(String(await roundTrip([], ['a'], formats)), '"text":"a"')
  assert.match(String(await roundTrip([], [Buffer.from([255])], formats)), '"base64":"/w=="')
  assert.match(String(await roundTrip(['--type', 'json'], ['[1]'], formats)), '"data":[1]')
})

append('the result is one line, or one JSON object', async () => {
  await withServer(async ({ url }) => {
    const input = ['a\nb\n']
    const text = await runCommand(['append', 's', '--lines', '--url', url], { input })
    assert.match(
      text.stdout.toString(),
      /^2 records \(2 B\) appended to "s", offsets 0 to 1, durable/,
    )
    const json = await runCommand(['append', 's', '--lines', '--json', '--url', url], { input })
    const { seconds: _, ...rest } = JSON.parse(json.stdout.toString()) as Record<string, unknown>
    const place = { stream: 's', firstOffset: 2, nextOffset: 4 }
    const counts = { records: 2, duplicates: 0, bytes: 2 }
    assert.equal(rest, { ...place, ...counts, ok: true, durable: true })
  })
})

append('what was relaxed is made durable before the command says so', async () => {
  const script = (_: unknown, index: number) =>
    index === 0 ? appended(0, 1, false) : { body: { durable: true } }
  const requests = await withScript(script, async url => {
    const { stdout } = await runCommand(['append', 's', '--url', url], { input: ['a'] })
    assert.match(stdout.toString(), 'durable')
  })
  assert.equal(
    requests.map(({ target }) => target),
    ['/v1/streams/s/records', '/v1/barrier'],
  )
})

append('a failure says how many records are durable', async () => {
  const script = (_: unknown, index: number) =>
    index === 0 ? appended(0, 2) : problem(507, 'disk_full', { outcome: 'not_applied' })
  await withScript(script, async url => {
    const args = ['append', 's', '--lines', '--batch-records', '2', '--url', url]
    const { code, stderr } = await runCommand(args, { input: ['a\nb\nc\nd\n'] })
    assert.is(code, 1)
    assert.match(stderr, 'disk_full: disk_full happened (outcome not_applied)')
    assert.match(stderr, 'offsets up to 1, durable); nothing after that was')
  })
})

append('a failure says which records are in doubt', async () => {
  const script = (_: unknown, index: number) =>
    index === 0 ? appended(0, 2) : problem(500, 'internal')
  await withScript(script, async url => {
    const args = ['append', 's', '--lines', '--json', '--batch-records', '2', '--url', url]
    const { stdout, stderr } = await runCommand(args, { input: ['a\nb\nc\nd\n'] })
    assert.match(stderr, 'the next 2 records may have been or not')
    const { records, ok, outcome } = JSON.parse(stdout.toString()) as Record<string, unknown>
    assert.equal({ records, ok, outcome }, { records: 2, ok: false, outcome: 'unknown' })
  })
})

append('bad JSON is named by its place in the input', async () => {
  await withServer(async ({ url }) => {
    const args = ['append', 's', '--ndjson', '--batch-records', '2', '--url', url]
    const { code, stderr } = await runCommand(args, { input: ['1\n2\n3\n{bad\n5\n'] })
    assert.is(code, 1)
    assert.match(stderr, 'record 4 of the input is not valid JSON')
    assert.match(stderr, '2 records (2 B) appended')
  })
})

append('an interruption ends the input, and what is in flight is accounted for', async () => {
  await withServer(async ({ url }) => {
    const { code, stderr } = await runCommand(['append', 's', '--lines', '--url', url], {
      input: new PassThrough(),
      interrupt: Promise.resolve(),
    })
    assert.is(code, 1)
    assert.match(stderr, 'stopped by SIGINT\nnothing was appended')
  })
})

append('an expected offset that is not met appends nothing', async () => {
  await withServer(async ({ url }) => {
    const args = ['append', 's', '--expected-offset', '5', '--url', url]
    const { stderr } = await runCommand(args, { input: ['a'] })
    assert.match(stderr, /^offset_mismatch: .*\(nextOffset 0, outcome not_applied\)/)
  })
})

append('a name that no stream can have is a usage error', async () => {
  const { code, stderr } = await runCommand(['append', 'a//b'], { input: ['a'] })
  assert.is(code, 2)
  assert.match(stderr, '"a//b": the stream name has an empty, "." or ".." segment')
})

append('a file that is not there is named', async () => {
  const { code, stderr } = await runCommand(['append', 's', '/no/such/file'])
  assert.equal([code, stderr], [1, 'cannot read /no/such/file: there is no such file'])
})

append.run()

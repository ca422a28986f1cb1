import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { runCommand } from '../../support/command.ts'
import { withServer } from '../../support/http-server.ts'
import { withScript } from '../../support/scripted-server.ts'

const read = suite('main/cli/read')

/** Output of `varve read` of a stream with the records 0 to 9. */
async function readDigits(...flags: string[]): Promise<string> {
  let output = ''
  await withServer(async ({ url, append }) => {
    await append('s', 'application/x-ndjson', '0\n1\n2\n3\n4\n5\n6\n7\n8\n9')
    const { stdout, stderr } = await runCommand(['read', 's', '--url', url, ...flags])
    output = stdout.toString() + stderr
  })
  return output
}

/** The digits alone. */
async function digits(...flags: string[]): Promise<string> {
  return (await readDigits('--format', 'raw', ...flags)).trim()
}

read('all records are printed, each on a line', async () => {
  assert.is(await readDigits(), '0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n')
})

read('a range is half-open', async () => {
  assert.equal([await digits('--from', '3', '--to', '6'), await digits('--to', '2')], ['345', '01'])
})

read('a limit bounds the records', async () => {
  assert.equal(
    [await digits('--limit', '3'), await digits('--from', '8', '--limit', '5')],
    ['012', '89'],
  )
})

read('backwards it goes down from the end, or from below an offset', async () => {
  assert.is(await digits('--backward'), '9876543210')
  assert.is(await digits('--backward', '--from', '4'), '3210')
  assert.is(await digits('--backward', '--limit', '2'), '98')
})

read('backwards a range ends with the lower offset', async () => {
  assert.is(await digits('--backward', '--to', '7'), '987')
  assert.is(await digits('--backward', '--from', '5', '--to', '3'), '43')
})

read('a range without records prints nothing', async () => {
  assert.equal([await digits('--from', 'end'), await digits('--from', '5', '--to', '5')], ['', ''])
})

read('json is one array, whatever the number of records', async () => {
  const offsets = async (...flags: string[]) =>
    (JSON.parse(await readDigits('--format', 'json', ...flags)) as { offset: number }[]).map(
      ({ offset }) => offset,
    )
  assert.equal(await offsets('--from', '8'), [8, 9])
  assert.equal(await offsets('--from', 'end'), [])
})

read('ndjson is a record object a line', async () => {
  assert.match(
    await readDigits('--format', 'ndjson', '--limit', '1'),
    /^\{"offset":0,.*"data":0\}\n$/,
  )
})

read('pages follow each other up to where the stream ended at first', async () => {
  const page = (next: number) => ({
    headers: { 'varve-next-offset': String(next), 'varve-tail-offset': next < 4 ? '4' : '9' },
    body: Buffer.from('{}\n{}\n'),
  })
  const script = (_: unknown, index: number) => page(2 * (index + 1))
  const requests = await withScript(script, async url => {
    const { stdout } = await runCommand(['read', 's', '--format', 'ndjson', '--url', url])
    assert.is(stdout.toString(), '{}\n'.repeat(4))
  })
  const froms = requests.map(({ target }) => new URLSearchParams(target.split('?')[1]).get('from'))
  assert.equal(froms, [null, '2'])
})

read('a page that starts by time is cut at the end of the range', async () => {
  const headers = { 'varve-next-offset': '7', 'varve-tail-offset': '9' }
  const script = () => ({ headers, body: Buffer.from('4\n5\n6\n') })
  await withScript(script, async url => {
    const args = [
      '--since',
      '2026-01-01T00:00:00Z',
      '--to',
      '6',
      '--format',
      'ndjson',
      '--url',
      url,
    ]
    assert.is((await runCommand(['read', 's', ...args])).stdout.toString(), '4\n5\n')
  })
})

read('a stream that is not there is a failure with its code', async () => {
  await withServer(async ({ url }) => {
    const { code, stderr } = await runCommand(['read', 'none', '--url', url])
    assert.is(code, 1)
    assert.match(stderr, /^stream_not_found: /)
  })
})

read('a server that is not Varve is told apart', async () => {
  await withScript(
    () => ({ status: 404, body: 'what?' }),
    async url => {
      const { stderr } = await runCommand(['read', 's', '--url', url])
      assert.match(stderr, 'does not look like a Varve server: it answered 404')
    },
  )
})

read('no server is a failure with a hint', async () => {
  const { code, stderr } = await runCommand(['read', 's', '--url', 'http://127.0.0.1:1'])
  assert.is(code, 1)
  assert.match(stderr, 'the connection was refused. Is the server running?')
})

read('the address comes from the environment', async () => {
  await withServer(async ({ url, append }) => {
    await append('s', 'text/plain', 'hello')
    const { stdout } = await runCommand(['read', 's'], { env: { VARVE_URL: url } })
    assert.is(stdout.toString(), 'hello\n')
  })
})

read(
  'a stream with another past is refused, and a hash without an offset is a usage error',
  async () => {
    await withServer(async server => {
      const { body } = await server.append('s', 'application/x-ndjson', '0\n1')
      const run = (...flags: string[]) => runCommand(['read', 's', '--url', server.url, ...flags])
      const right = await run('--from', '2', '--after', body.recordHash ?? '')
      assert.is(right.code, 0)
      await server.send('DELETE', '/v1/streams/s')
      await server.append('s', 'application/x-ndjson', '0\n1\n2')
      const wrong = await run('--from', '2', '--after', body.recordHash ?? '')
      assert.is(wrong.code, 1)
      assert.match(wrong.stderr, /history_mismatch/)
      assert.is((await run('--after', body.recordHash ?? '')).code, 2)
    })
  },
)

read.run()

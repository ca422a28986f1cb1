import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { runCommand } from '../../support/command.ts'
import { type TestServer, withServer } from '../../support/http-server.ts'
import { closedMessage, recordsMessage, withTails } from '../../support/tail-script.ts'

const tail = suite('main/cli/tail')

/** Output of `varve tail` on a closed stream with the records a, b and 0xff. */
async function tailClosed(...flags: string[]): Promise<Buffer> {
  let output: Buffer = Buffer.alloc(0)
  await withServer(async server => {
    await fill(server)
    await server.send('POST', '/v1/streams/s/close')
    const { code, stdout, stderr } = await runCommand(['tail', 's', '--url', server.url, ...flags])
    assert.is(code, 0, stderr)
    output = stdout
  })
  return output
}

async function fill({ append }: TestServer): Promise<void> {
  await append('s', 'text/plain', 'a')
  await append('s', 'text/plain', 'b')
  await append('s', 'application/octet-stream', Buffer.from([255]))
}

tail('bodies are printed as lines, or back to back', async () => {
  assert.equal(await tailClosed('--from', 'start'), Buffer.from('a\nb\n\xff\n', 'latin1'))
  assert.equal(await tailClosed('--from', '1', '--format', 'raw'), Buffer.from('b\xff', 'latin1'))
})

tail('record objects are printed as lines', async () => {
  const lines = (await tailClosed('--from', '0', '--format', 'ndjson'))
    .toString()
    .trim()
    .split('\n')
  assert.match(lines[1] ?? '', /^\{"offset":1,.*"text":"b"\}$/)
  assert.is(lines.length, 3)
})

tail('by default it starts at the end', async () => {
  assert.is((await tailClosed()).length, 0)
})

tail('it goes on from the end it found, not from the one after a lost connection', async () => {
  const scripts = [
    (socket: { terminate(): void }) => socket.terminate(),
    (socket: { send(message: string): void }) => {
      socket.send(recordsMessage(7, 8))
      socket.send(closedMessage(8))
    },
  ]
  const starts = await withTails(7, scripts, async url => {
    const { stdout, stderr } = await runCommand(['tail', 's', '--format', 'ndjson', '--url', url])
    assert.is(stdout.toString(), '{"offset":7,"data":7}\n')
    assert.match(stderr, /^varve: the connection was closed \(1006\); trying again in 0\.\d s\n$/)
  })
  assert.equal(starts, [7, 7])
})

tail('an interruption is an end like any other', async () => {
  await withServer(async server => {
    await fill(server)
    let interrupt: () => void = () => undefined
    const { code, stdout } = await runCommand(['tail', 's', '--from', '0', '--url', server.url], {
      interrupt: new Promise<void>(resolve => {
        interrupt = resolve
      }),
      onOutput: () => interrupt(),
    })
    assert.is(code, 0)
    assert.is(stdout.subarray(0, 4).toString(), 'a\nb\n')
  })
})

tail.run()

import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type CommandResult, runCommand } from '../../support/command.ts'
import { ProducerStream } from '../../support/producer-server.ts'
import {
  problem,
  type ScriptedAnswer,
  type ScriptedRequest,
  withScript,
} from '../../support/scripted-server.ts'

const append = suite('main/cli/append-state')

type World = {
  readonly stream: ProducerStream
  readonly file: string
  readonly state: string
  /** Appends the lines of the file, two in a batch. */
  run(...flags: string[]): Promise<CommandResult>
  /** What the server says instead, by the number of the request. */
  answers: Map<number, (request: ScriptedRequest) => ScriptedAnswer>
}

async function withFile(content: string, act: (world: World) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'varve-append-'))
  const file = join(directory, 'lines.txt')
  const state = join(directory, 'state.json')
  const stream = new ProducerStream()
  const answers: World['answers'] = new Map()
  writeFileSync(file, content)
  try {
    await withScript(
      (request, index) => (answers.get(index) ?? (asked => stream.answer(asked)))(request),
      async url => {
        const args = ['append', 's', file, '--lines', '--batch-records', '2', '--url', url]
        const run = (...flags: string[]) => runCommand([...args, '--state', state, ...flags])
        await act({ stream, file, state, run, answers })
      },
    )
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const internal = () => problem(500, 'internal', { outcome: 'unknown' })

append('an interrupted append goes on with --resume and duplicates nothing', async () => {
  await withFile('a\nb\nc\nd\ne\n', async ({ stream, run, answers }) => {
    answers.set(1, request => (stream.answer(request), internal()))
    const { code, stderr } = await run()
    assert.is(code, 1)
    assert.match(stderr, 'the next 2 records may have been or not: --resume finds out')

    const resumed = await run('--resume')

    assert.is(resumed.code, 0, resumed.stderr)
    assert.equal(stream.bodies, ['a', 'b', 'c', 'd', 'e'])
    assert.match(resumed.stdout.toString(), '2 of them were there already, after 2 by earlier runs')
    assert.match(resumed.stderr, 'Going on after 2 records, at byte 4.')
  })
})

append('a lost answer is asked for again within a run', async () => {
  await withFile('a\nb\nc\n', async ({ stream, run, answers }) => {
    answers.set(0, request => (stream.answer(request), 'reset'))
    const { stdout, code } = await run('--json')
    const result = JSON.parse(stdout.toString()) as Record<string, unknown>
    assert.equal([code, result['records'], result['duplicates']], [0, 3, 2])
    assert.equal(stream.bodies, ['a', 'b', 'c'])
  })
})

append('without a state --resume says what to do', async () => {
  await withFile('a\n', async ({ run, state }) => {
    const { code, stderr } = await run('--resume')
    assert.is(code, 1)
    assert.match(stderr, `no state at ${state}; run without --resume to begin`)
  })
})

append('an append that is not complete is not begun again by mistake', async () => {
  await withFile('a\nb\nc\n', async ({ stream, run, answers }) => {
    answers.set(1, internal)
    await run()
    const { code, stderr } = await run()
    assert.is(code, 1)
    assert.match(stderr, 'stopped after 2 records: go on with --resume, or remove')
    assert.equal(stream.bodies, ['a', 'b'])
  })
})

append('one that was refused before anything was applied may begin again', async () => {
  await withFile('a\n', async ({ stream, run, answers }) => {
    answers.set(0, () => problem(403, 'forbidden', { outcome: 'not_applied' }))
    assert.is((await run()).code, 1)
    assert.is((await run()).code, 0)
    assert.equal(stream.bodies, ['a'])
  })
})

append('--resume of a complete append adds only what the file has gained', async () => {
  await withFile('a\nb\n', async ({ stream, run, file }) => {
    await run()
    assert.match((await run('--resume')).stdout.toString(), '0 records')
    appendFileSync(file, 'c\n')
    assert.is((await run('--resume')).code, 0)
    assert.equal(stream.bodies, ['a', 'b', 'c'])
    assert.is((await run()).code, 0, 'a second append of the file is meant')
    assert.is(stream.bodies.length, 6)
  })
})

append('a file that is not what it was is refused', async () => {
  const changes = new Map([
    ['a\n', 'it has 2 bytes, and 4 had been read'],
    ['A\nb\nc\n', 'its first 6 bytes are others'],
    ['a\nb\nd\n', 'its first 6 bytes are others'],
  ])
  for (const [content, reason] of changes) {
    await withFile('a\nb\nc\n', async ({ run, file, answers }) => {
      answers.set(1, internal)
      await run('--batch-records', '2')
      writeFileSync(file, content)
      const { code, stderr } = await run('--resume')
      assert.is(code, 1)
      assert.match(stderr, content === 'a\n' ? 'the file has changed since: it has 2' : reason)
    })
  }
})

append('what was in flight is compared, however long the file', async () => {
  const long = `${'x'.repeat(70_000)}\nb\nc\nd\n`
  await withFile(long, async ({ run, file, answers }) => {
    answers.set(1, internal)
    await run()
    writeFileSync(file, long.replace('c', 'C'))
    const { stderr } = await run('--resume')
    assert.match(stderr, /bytes 70003 to 70007 of the file are not what was sent before/)
  })
})

append('a last line that went on after it was appended is refused', async () => {
  await withFile('a\nb', async ({ run, file }) => {
    await run()
    appendFileSync(file, 'bb\n')
    assert.match(
      (await run('--resume')).stderr,
      'its last record was appended, and then it went on',
    )
  })
})

append('a state of another kind of append is refused', async () => {
  await withFile('a\nb\n', async ({ run, state }) => {
    await run()
    const text = readFileSync(state, 'utf8')
    writeFileSync(state, text.replace('"mode":"lines"', '"mode":"ndjson"'))
    assert.match((await run('--resume')).stderr, 'is of an append of JSON lines: give --ndjson')
    writeFileSync(state, '{}')
    assert.match((await run('--resume')).stderr, 'is no state of an append: version')
  })
})

append('numbers that somebody else has used end the append', async () => {
  await withFile('a\nb\nc\n', async ({ stream, run }) => {
    await run('--producer', 'p', '--epoch', '7')
    const { code, stderr } = await run('--producer', 'p', '--epoch', '7')
    assert.is(code, 1)
    assert.match(stderr, 'batch 0 of producer "p", epoch 7, was never sent, but the server has one')
    assert.is(stream.bodies.length, 3)
  })
})

append('a name that is used again gets a later epoch', async () => {
  await withFile('a\n', async ({ stream, run }) => {
    await run('--producer', 'p', '--epoch', '7')
    const { stderr, code } = await run('--producer', 'p')
    assert.is(code, 0, stderr)
    assert.match(stderr, /Appending as producer "p", epoch \d{10,};/)
    assert.is(stream.bodies.length, 2)
  })
})

append('appends of one file are by one producer, each in a later epoch', async () => {
  await withFile('a\n', async ({ run }) => {
    const outputs = [await run(), await run()].map(({ stderr }) => stderr)
    const found = outputs.map(text => /producer "(file-\w{16})", epoch (\d+)/.exec(text) ?? [])
    assert.is(found[0]?.[1], found[1]?.[1])
    assert.ok(Number(found[0]?.[2]) < Number(found[1]?.[2]))
  })
})

append('standard input is numbered where it is given a name', async () => {
  const stream = new ProducerStream()
  await withScript(
    (request, index) => (index === 0 ? (stream.answer(request), 'reset') : stream.answer(request)),
    async url => {
      const args = ['append', 's', '--lines', '--producer', 'p', '--url', url]
      const { code } = await runCommand(args, { input: ['a\nb\n'] })
      assert.equal([code, stream.bodies, stream.duplicates], [0, ['a', 'b'], 1])
    },
  )
})

append('with nothing in doubt it goes on where the server has forgotten the producer', async () => {
  await withFile('a\nb\nc\n', async ({ run, answers }) => {
    answers.set(1, () => problem(507, 'disk_full', { outcome: 'not_applied' }))
    assert.is((await run('--batch-records', '2')).code, 1)
    const fresh = new ProducerStream()
    answers.set(2, request => fresh.answer(request))
    assert.is((await run('--resume')).code, 0)
    assert.equal(fresh.bodies, ['c'])
  })
})

append('a gapless append goes on at the offset that it has reached', async () => {
  const targets: string[] = []
  await withFile('a\nb\nc\nd\n', async ({ stream, run, answers }) => {
    answers.set(1, ({ target }) => (targets.push(target), internal()))
    answers.set(2, request => (targets.push(request.target), stream.answer(request)))
    await run('--expected-offset', '0')
    assert.is((await run('--resume')).code, 0)
  })
  assert.equal(
    targets.map(target => /expectedOffset=\d+/.exec(target)?.[0]),
    ['expectedOffset=2', 'expectedOffset=2'],
  )
})

append('standard input cannot be gone on with', async () => {
  const { code, stderr } = await runCommand(['append', 's', '--lines', '--resume'])
  assert.is(code, 2)
  assert.match(stderr, 'save it to a file first')
})

append('the state lies below the home directory where nobody says otherwise', async () => {
  await withFile('a\n', async ({ file }) => {
    const home = join(file, '..')
    await withScript(
      () => ({ body: { firstOffset: 0, nextOffset: 1, count: 1, durable: true } }),
      async url => {
        const { stderr } = await runCommand(['append', 's', file, '--url', url], {
          env: { HOME: home },
        })
        assert.match(stderr, `--resume goes on from ${home}/.local/state/varve/append-`)
      },
    )
  })
})

append.run()

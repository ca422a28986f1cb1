import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Client } from '../../../src/main/cli/client.ts'
import { Follower } from '../../../src/main/cli/follower.ts'
import { withServer } from '../../support/http-server.ts'
import {
  closedMessage,
  recordsMessage,
  type TailScript,
  withTails,
} from '../../support/tail-script.ts'

const follower = suite('main/cli/follower')

/** Follows from `position`; returns the offsets seen, the waits, and what ended it. */
async function follow(
  url: string,
  position: number,
  signal = new AbortController().signal,
  after?: string,
) {
  const client = new Client(url)
  const offsets: number[] = []
  const reasons: string[] = []
  const waits: number[] = []
  const target = new Follower(
    {
      client,
      stream: 's',
      format: 'json',
      onRecords: ({ content, skip }) => {
        const records = (content as readonly string[]).slice(skip)
        for (const text of records) offsets.push((JSON.parse(text) as { offset: number }).offset)
        return Promise.resolve()
      },
      onRetry: reason => reasons.push(reason),
      signal,
      sleep: ms => Promise.resolve(waits.push(ms)),
    },
    position,
    after,
  )
  const error = await target.run().catch((caught: unknown) => caught as Error)
  client.close()
  return { offsets, reasons, waits, error: error?.message }
}

/** Sends messages, then breaks the connection. */
const sendThenBreak =
  (...messages: string[]): TailScript =>
  socket => {
    for (const message of messages) socket.send(message)
    setTimeout(() => socket.terminate(), 20)
  }

const send =
  (...messages: string[]): TailScript =>
  socket => {
    for (const message of messages) socket.send(message)
  }

follower('a stream is followed to its end', async () => {
  const scripts = [
    send(
      recordsMessage(3, 5),
      '{"type":"live","nextOffset":5}',
      recordsMessage(5, 6),
      closedMessage(6),
    ),
  ]
  const starts = await withTails(6, scripts, async url => {
    const { offsets, error, reasons } = await follow(url, 3)
    assert.equal([offsets, error, reasons], [[3, 4, 5], undefined, []])
  })
  assert.equal(starts, [3])
})

follower('a lost connection is taken up where it was', async () => {
  const scripts = [
    sendThenBreak(recordsMessage(0, 2)),
    sendThenBreak(),
    send(recordsMessage(2, 4), closedMessage(4)),
  ]
  const starts = await withTails(4, scripts, async url => {
    const { offsets, reasons } = await follow(url, 0)
    assert.equal(offsets, [0, 1, 2, 3])
    assert.equal(reasons.length, 2)
  })
  assert.equal(starts, [0, 2, 2])
})

follower('records that were seen before are left out', async () => {
  const scripts = [
    send(recordsMessage(0, 3), recordsMessage(1, 5), recordsMessage(2, 4), closedMessage(5)),
  ]
  await withTails(5, scripts, async url => {
    assert.equal((await follow(url, 0)).offsets, [0, 1, 2, 3, 4])
  })
})

follower('a gap is a failure', async () => {
  await withTails(9, [send(recordsMessage(0, 2), recordsMessage(3, 4))], async url => {
    const { offsets, error } = await follow(url, 0)
    assert.equal(offsets, [0, 1])
    assert.match(error ?? '', 'the server left out offsets 2 to 2')
  })
})

follower('waits grow until something is heard again', async () => {
  const broken = Array.from({ length: 8 }, () => sendThenBreak())
  const scripts = [...broken, sendThenBreak(recordsMessage(0, 1)), send(closedMessage(1))]
  await withTails(1, scripts, async url => {
    const { waits } = await follow(url, 0)
    const [first = 0, second = 0] = waits
    assert.ok(first <= 313 && second >= 375 && second <= 625, waits.join(' '))
    assert.ok(
      waits.every(wait => wait <= 12_500),
      waits.join(' '),
    )
    assert.ok((waits.at(-1) ?? 0) <= 313, waits.join(' '))
  })
})

follower('what the server says for good ends it', async () => {
  const problem = {
    title: 't',
    status: 410,
    code: 'stream_deleted',
    detail: 'gone',
    retryable: false,
  }
  await withTails(1, [send(JSON.stringify({ type: 'error', ...problem }))], async url => {
    assert.match((await follow(url, 0)).error ?? '', 'stream_deleted: gone')
  })
})

follower('what the server says for now does not', async () => {
  const problem = { title: 't', status: 503, code: 'shard_failed', detail: 'down', retryable: true }
  const scripts = [send(JSON.stringify({ type: 'error', ...problem })), send(closedMessage(0))]
  await withTails(0, scripts, async url => {
    const { reasons, error } = await follow(url, 0)
    assert.equal([reasons, error], [['down'], undefined])
  })
})

follower('a refusal before the connection ends it', async () => {
  await withServer(async ({ url }) => {
    assert.match((await follow(url, 0)).error ?? '', 'stream_not_found')
  })
})

follower('an interruption ends it', async () => {
  const interruption = new AbortController()
  const script: TailScript = socket => {
    socket.send(recordsMessage(0, 1))
    setTimeout(() => interruption.abort(), 20)
  }
  await withTails(1, [script], async url => {
    const { offsets, error } = await follow(url, 0, interruption.signal)
    assert.equal([offsets, error], [[0], undefined])
  })
})

follower('a connection is made again with the hash of the last record handed over', async () => {
  const [first, second] = ['a'.repeat(64), 'b'.repeat(64)]
  const afters: (string | null)[] = []
  const scripts: TailScript[] = [
    sendThenBreak(recordsMessage(0, 2, first)),
    (socket, _from, after) => {
      afters.push(after)
      sendThenBreak(
        recordsMessage(2, 3),
        `{"type":"heartbeat","nextOffset":3,"lastHash":"${second}"}`,
      )(socket, _from, after)
    },
    (socket, _from, after) => {
      afters.push(after)
      socket.send(closedMessage(3))
    },
  ]
  const starts = await withTails(3, scripts, async url => {
    assert.equal((await follow(url, 0)).offsets, [0, 1, 2])
  })
  assert.equal(
    [starts, afters],
    [
      [0, 2, 3],
      [first, second],
    ],
  )
})

follower(
  'without a newer cursor records are read again, and none is handed over twice',
  async () => {
    const afters: (string | null)[] = []
    const hash = 'a'.repeat(64)
    const scripts: TailScript[] = [
      sendThenBreak(`{"type":"live","nextOffset":0,"lastHash":"${hash}"}`, recordsMessage(0, 2)),
      (socket, from, after) => {
        afters.push(after)
        socket.send(recordsMessage(from, 3))
        socket.send(closedMessage(3))
      },
    ]
    const starts = await withTails(3, scripts, async url => {
      assert.equal((await follow(url, 0)).offsets, [0, 1, 2])
    })
    assert.equal([starts, afters], [[0, 0], [hash]])
  },
)

follower('a stream that was created again meanwhile ends with what the server says', async () => {
  await withServer(async server => {
    const { body } = await server.append('s', 'application/x-ndjson', '0\n1')
    await server.send('DELETE', '/v1/streams/s')
    await server.append('s', 'application/x-ndjson', '0\n1\n2')
    const { offsets, error } = await follow(server.url, 2, undefined, body.recordHash)
    assert.equal(offsets, [])
    assert.match(error ?? '', /^history_mismatch: the history of stream "s" before offset 2/)
  })
})

follower.run()

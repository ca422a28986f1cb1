import { describe, streamPath, type Client } from '../client.ts'
import { checkHistory } from '../histories/check.ts'
import { Clients, RECREATED, STABLE } from '../histories/clients.ts'
import { Follower } from '../histories/follower.ts'
import { Recorder } from '../histories/recorder.ts'
import { Server } from '../server.ts'
import { type Fault, sleep, type Trial, until } from '../trial.ts'

const HISTORIES = { ci: 10, long: 200 }
const KILLS = 2
const LIFE_MS = 500
/** Bounds a tail that fell silent: time in which a follower gets what was there at the end. */
const FOLLOW_MS = 60_000
const JSON_TYPE = { 'content-type': 'application/json' }

export const histories: Fault = {
  name: 'histories',
  title:
    'concurrent appends (plain, conditional, of producers), reads, cursors, tails, events, ' +
    'deletions and recreations with kill -9, checked per stream for linearizability',
  needs: [],
  isParallel: true,
  cases: ({ isLong }) =>
    Array.from({ length: HISTORIES[isLong ? 'long' : 'ci'] }, (_, count) => ({
      name: `history ${count}`,
      run: tryHistory,
    })),
}

async function tryHistory(trial: Trial): Promise<void> {
  const data = trial.path('data')
  const recorder = new Recorder()
  const clients = new Clients(trial, recorder)
  let server = await Server.start(trial, { data })
  for (const stream of STABLE) await server.client.send('PUT', streamPath(stream), '{}', JSON_TYPE)
  const followers = [...STABLE.slice(0, 2), ...RECREATED].map((stream, index) => {
    const transport = index % 2 === 0 ? 'websocket' : 'events'
    const mayEnd = RECREATED.includes(stream)
    return new Follower(trial, recorder, { stream, transport, mayEnd })
  })
  const following = followers.map(follower => follower.run(() => server.url))
  trial.defer(() => followers.forEach(follower => follower.close()))
  for (let round = 0; round <= KILLS; round += 1) {
    let isOver = false
    const ended = clients.run(server.client, () => isOver)
    await sleep(LIFE_MS + trial.random.below(LIFE_MS))
    // The last life ends in peace, so that followers can be held to its end.
    const isLast = round === KILLS
    if (!isLast) await server.kill()
    isOver = true // a client that has nothing to ask yet would not notice that its server is gone
    await ended
    if (isLast) break
    recorder.serverEnded()
    server = await Server.start(trial, { data })
  }
  await readAll(trial, server.client, recorder)
  await expectFollowed(trial, followers, recorder)
  for (const follower of followers) follower.close()
  await Promise.all(following)
  await server.kill()
  clients.abandon()
  recorder.serverEnded()
  const { appends, observations, deletions } = recorder.history
  trial.note('largest history, operations', appends.length + observations.length)
  if (appends.length === 0) trial.notApplied = 'the clients did nothing'
  if (deletions.length > 0) trial.note('deletions in one history', deletions.length)
  for (const { kind, detail } of checkHistory(recorder.history)) trial.find(kind, detail)
}

/** Reads every stream from its first record to its end. */
async function readAll(trial: Trial, client: Client, recorder: Recorder): Promise<void> {
  for (const stream of [...STABLE, ...RECREATED]) {
    let from = 0
    for (;;) {
      const startMs = performance.now()
      const page = await client.get(`${streamPath(stream)}/records?from=${from}&limit=100000`)
      if (page.status === 404) recorder.absent(stream, startMs)
      else if (page.status !== 200) trial.find('refused', `read of ${stream}: ${describe(page)}`)
      if (page.status !== 200) break
      recorder.page(stream, startMs, page)
      from = Number(page.json['nextOffset'])
      if (from >= Number(page.json['tailOffset'])) break
    }
  }
}

async function expectFollowed(
  trial: Trial,
  followers: readonly Follower[],
  { acknowledged }: Recorder,
): Promise<void> {
  for (const follower of followers.filter(({ stream }) => STABLE.includes(stream))) {
    const end = acknowledged.get(follower.stream) ?? 0
    const hasAll = await until(FOLLOW_MS, async () =>
      follower.nextOffset >= end ? true : undefined,
    )
    if (hasAll === undefined) {
      trial.find(
        'lost',
        `a tail of ${follower.stream} is silent at ${follower.nextOffset} of ${end}`,
      )
    }
  }
}

import { auditWhole } from '../audit.ts'
import { type Client, describe } from '../client.ts'
import { Inspector, INSPECTED } from '../inspector.ts'
import { Ledger } from '../ledger.ts'
import { Load } from '../load.ts'
import { Server } from '../server.ts'
import { Tail } from '../tail.ts'
import { type Fault, sleep, type Trial, until } from '../trial.ts'

/** Time in which a shard recovers from the death of a thread. */
const BACK_MS = 30_000
const BEFORE_MS = 700
const AFTER_MS = 1_500
/** Node keeps a thread that ends until its inspector has left. */
const INSPECTED_MS = 300
const FOLLOWED = 'shared 0'
/** What the service logs when it loses a thread, of a shard or of the readers. */
const DEATH = /thread( of the shard)? died/

/**
 * How a thread ends: by its own exit, by a defect that nobody catches, without memory. One that
 * never returns to its event loop meets it at its next look at shared memory.
 */
const ENDS = {
  exit: atNextStep('process.exit(1)'),
  throws: atNextStep("throw new Error('torture')"),
  memory: atNextStep('const all = []; for (;;) all.push(new Array(1e6).fill(all.length))'),
}

type Victim = { readonly module: RegExp; readonly name: string; readonly count: number }

/** The pool's threads, shards and readers alike, all run the pool's own module. */
const VICTIMS: readonly Victim[] = [
  { module: /^flusher$/, name: 'flusher', count: 1 },
  { module: /^(checkpointer|write-?back)$/, name: 'write-back', count: 1 },
  { module: /^worker$/, name: 'shard or reader', count: 4 },
]

export const threads: Fault = {
  name: 'threads',
  title:
    'single threads end under mixed load, by an exit, a defect or without memory (through ' +
    "Node's inspector): the shard recovers, tails go on, answers are true",
  needs: [],
  isParallel: true,
  cases: ({ isLong }) =>
    VICTIMS.flatMap(victim =>
      Array.from({ length: victim.count }, (_, index) => index).flatMap(index =>
        Object.entries(ENDS)
          // Without memory Node may end the process as well, which the kills show too.
          .filter(([how]) => how !== 'memory' || isLong)
          .map(([how, expression]) => ({
            name: `${victim.name} ${index}, ${how}`,
            run: (trial: Trial) => endThread(trial, victim, index, expression),
          })),
      ),
    ),
}

function atNextStep(statement: string): string {
  return `const end = () => { ${statement} }; Atomics.load = end; setImmediate(end)`
}

async function endThread(
  trial: Trial,
  victim: Victim,
  index: number,
  expression: string,
): Promise<void> {
  const data = trial.path('data')
  const ledger = new Ledger(trial)
  const server = await Server.start(trial, { data, node: INSPECTED })
  let isHurt = false
  let isOver = false
  const load = new Load(trial, ledger, {
    onRefusal: (what, answer) => {
      const { code } = answer.json
      if (!isHurt) trial.find('refused', `${what}: ${describe(answer)}`)
      // While it recovers, a shard may be away; it may not lie.
      else if (code !== 'shard_failed') trial.find('wrong', `${what}: ${describe(answer)}`)
    },
  })
  const ended = load.run(server.client, () => isOver)
  await sleep(BEFORE_MS)
  const tail = await Tail.open(server.url, FOLLOWED, 0)
  const inspector = await Inspector.open(server)
  const thread = inspector.threads.filter(({ module }) => victim.module.test(module))[index]
  if (thread === undefined) trial.notApplied = `there is no thread ${victim.name} ${index}`
  else {
    isHurt = true
    inspector.evaluate(thread, expression)
  }
  await sleep(INSPECTED_MS)
  inspector.close()
  await sleep(AFTER_MS)
  isOver = true
  await ended
  if (server.isRunning) {
    await expectBack(trial, server.client, ledger)
    await followToEnd(trial, server.url, tail, ledger)
    await auditWhole(trial, server.client, ledger)
  } else trial.note('processes that died with their thread', 1)
  tail.close()
  if (server.isRunning && !DEATH.test(server.output)) trial.notApplied = 'the thread did not end'
  await server.kill()
  const next = await Server.start(trial, { data })
  await auditWhole(trial, next.client, ledger)
}

/** Within a moment everything is served again, and ready says so. */
async function expectBack(trial: Trial, client: Client, ledger: Ledger): Promise<void> {
  let refusal = ''
  const isBack = await until(BACK_MS, async () => {
    for (const stream of ['shared 0', 'shared 1', 'shared 2', 'shared 3']) {
      const records = [{ text: ledger.text() }]
      const sent = ledger.send([{ stream, records }])
      const answer = await client.append(stream, { records })
      if (!ledger.answered(sent, answer)) {
        refusal = describe(answer)
        return undefined
      }
    }
    return true
  })
  if (isBack === undefined) trial.find('refused', `it does not come back: ${refusal}`)
  const ready = await client.get('/v1/ready')
  if ((ready.status === 200) !== (isBack === true)) {
    trial.find('wrong', `ready says ${ready.status}: ${ready.body.toString().slice(0, 200)}`)
  }
}

/** A tail goes on, or ends so that its client opens it again; falling silent is a loss. */
async function followToEnd(trial: Trial, url: string, tail: Tail, ledger: Ledger): Promise<void> {
  const { nextOffset } = ledger.of(FOLLOWED)
  const hasAll = await until(BACK_MS, async () => {
    if (tail.isOver) await tail.reopen(url)
    return tail.nextOffset >= nextOffset ? true : undefined
  })
  if (hasAll === undefined) {
    trial.find('lost', `the tail fell silent at ${tail.nextOffset} of ${nextOffset}`)
  }
  for (const fault of tail.faults) trial.find('wrong', `tail of ${FOLLOWED}: ${fault}`)
}

import { checkPage, auditWhole, pageOf } from '../audit.ts'
import { type Client, describe, streamPath } from '../client.ts'
import { type FileClass, pathsOf } from '../file-classes.ts'
import type { Ledger } from '../ledger.ts'
import { damageIn, runCommand, Server, SMALL } from '../server.ts'
import { Strace } from '../strace.ts'
import { baseStores, copy, STREAMS, VICTIM } from '../tamper/store.ts'
import { type Case, type Fault, sleep, type Trial, until } from '../trial.ts'

/**
 * Who may be refused while a call fails: nobody, readers and writers of the one stream, or those of
 * the shard. `for good`: a failed sync or journal write ends the shard until the next start.
 */
type Effect = 'nobody' | 'stream' | 'shard' | 'shard for good'
type Row = { readonly call: string; readonly on: FileClass; readonly effect: Effect }

// biome-ignore format: a table of calls is read by column
const ROWS: readonly Row[] = [
  { call: 'pwrite64',   on: 'journal files',    effect: 'shard for good' },
  { call: 'fdatasync',  on: 'journal files',    effect: 'shard for good' },
  { call: 'openat',     on: 'journal files',    effect: 'shard' },
  { call: 'close',      on: 'journal files',    effect: 'shard' },
  { call: 'pwrite64',   on: 'newest.json',      effect: 'shard' },
  { call: 'fdatasync',  on: 'newest.json',      effect: 'shard for good' },
  { call: 'openat',     on: 'newest.json',      effect: 'shard' },
  { call: 'rename',     on: 'newest.json',      effect: 'shard' },
  { call: 'openat',     on: 'catalogue',        effect: 'nobody' },
  { call: 'pwrite64',   on: 'catalogue',        effect: 'nobody' },
  { call: 'fdatasync',  on: 'catalogue',        effect: 'shard for good' },
  { call: 'statx',      on: 'catalogue',        effect: 'nobody' },
  { call: 'close',      on: 'catalogue',        effect: 'nobody' },
  { call: 'openat',     on: 'shard directory',  effect: 'shard' },
  { call: 'getdents64', on: 'shard directory',  effect: 'shard' },
  { call: 'newfstatat', on: 'shard directory',  effect: 'shard' },
  { call: 'fsync',      on: 'shard directory',  effect: 'shard for good' },
  { call: 'openat',     on: 'segments',         effect: 'stream' },
  { call: 'pread64',    on: 'segments',         effect: 'stream' },
  { call: 'pwrite64',   on: 'segments',         effect: 'nobody' },
  { call: 'fdatasync',  on: 'segments',         effect: 'shard for good' },
  { call: 'statx',      on: 'segments',         effect: 'stream' },
  { call: 'close',      on: 'segments',         effect: 'nobody' },
  { call: 'openat',     on: 'indexes',          effect: 'nobody' },
  { call: 'pread64',    on: 'indexes',          effect: 'nobody' },
  { call: 'pwrite64',   on: 'indexes',          effect: 'nobody' },
  { call: 'fdatasync',  on: 'indexes',          effect: 'shard for good' },
  { call: 'openat',     on: 'manifest',         effect: 'stream' },
  { call: 'pread64',    on: 'manifest',         effect: 'stream' },
  { call: 'pwrite64',   on: 'manifest',         effect: 'nobody' },
  { call: 'fdatasync',  on: 'manifest',         effect: 'shard for good' },
  { call: 'rename',     on: 'manifest',         effect: 'nobody' },
  { call: 'openat',     on: 'stream directory', effect: 'nobody' },
  { call: 'fsync',      on: 'stream directory', effect: 'shard for good' },
  { call: 'getdents64', on: 'stream directory', effect: 'nobody' },
  { call: 'mkdir',      on: 'anything',         effect: 'nobody' },
  { call: 'rename',     on: 'anything',         effect: 'shard' },
  { call: 'unlink',     on: 'anything',         effect: 'nobody' },
  { call: 'rmdir',      on: 'anything',         effect: 'nobody' },
  { call: 'getdents64', on: 'anything',         effect: 'nobody' },
  { call: 'ftruncate',  on: 'anything',         effect: 'nobody' },
  { call: 'fallocate',  on: 'anything',         effect: 'nobody' },
  { call: 'statfs',     on: 'anything',         effect: 'nobody' },
]

/** Shard of the victim; the rest of the streams are in the other one. */
const SHARD = new Set(STREAMS.slice(0, 3))
const FAULT_MS = 2_000
const BACK_MS = 8_000
const ERRORS = { ci: ['EIO'], long: ['EIO', 'ENOSPC', 'EMFILE'] }
const WHEN = { ci: ['1+'], long: ['1', '3', '1+'] }

export const systemCalls: Fault = {
  name: 'system-calls',
  title:
    'each system call on each kind of file fails for a while (strace) under appends, reads, ' +
    'trims and deletions; a sync that fails is final, anything else is over when the fault is',
  needs: ['strace', 'root'],
  isParallel: true,
  cases: ({ isLong }) => {
    const size = isLong ? 'long' : 'ci'
    return ROWS.flatMap(row =>
      ERRORS[size].flatMap(error => WHEN[size].map(when => caseOf(row, error, when))),
    )
  },
}

function caseOf(row: Row, error: string, when: string): Case {
  return {
    name: `${row.call} of ${row.on}, ${error}, ${when}`,
    run: async trial => {
      const base = await baseStores()
      const data = trial.path('data')
      copy(base.stopped, data)
      await new FaultRun(trial, data, row, base.ledger.copy(trial)).run(error, when)
    },
  }
}

class FaultRun {
  readonly #trial: Trial
  readonly #data: string
  readonly #row: Row
  readonly #ledger: Ledger
  #round = 0

  constructor(trial: Trial, data: string, row: Row, ledger: Ledger) {
    this.#trial = trial
    this.#data = data
    this.#row = row
    this.#ledger = ledger
  }

  async run(error: string, when: string): Promise<void> {
    const args = [...SMALL, '--journal-bytes-max=64MiB']
    const server = await Server.start(this.#trial, { data: this.#data, args })
    const { call, on } = this.#row
    const paths = pathsOf(on, this.#data, VICTIM)
    const injection = { call, effect: `error=${error}`, when, paths }
    const strace = await Strace.attach(this.#trial, server.pid, injection)
    const endMs = performance.now() + FAULT_MS
    while (performance.now() < endMs) await this.#step(server.client)
    const injected = await strace.detach()
    if (injected === 0) this.#trial.notApplied = 'the call was never made'
    if (injected > 0 || this.#row.effect === 'nobody') await this.#expectBack(server.client)
    await server.kill()
    await this.#checkAgain()
  }

  /** A bit of everything: appends that roll segments, reads, a trim, a stream made and deleted. */
  async #step(client: Client): Promise<void> {
    this.#round += 1
    for (const stream of STREAMS) {
      await this.#append(client, stream)
      await this.#read(client, stream)
    }
    const passing = `passing ${this.#round}`
    await this.#append(client, passing)
    if (this.#round % 3 === 0) await this.#trim(client, VICTIM)
    if (this.#round % 3 === 1) await this.#delete(client, passing)
  }

  async #append(client: Client, stream: string): Promise<void> {
    const records = [{ text: this.#ledger.text(9000) }, { text: this.#ledger.text() }]
    const sent = this.#ledger.send([{ stream, records }])
    const answer = await client.append(stream, { records })
    if (!this.#ledger.answered(sent, answer)) this.#judge(stream, `append: ${describe(answer)}`)
  }

  async #read(client: Client, name: string): Promise<void> {
    const stream = this.#ledger.of(name)
    const span = stream.nextOffset - stream.trimAsked
    const from = stream.trimAsked + this.#trial.random.below(span)
    const answer = await client.get(`${streamPath(name)}/records?from=${from}&limit=40`)
    if (answer.status === 200) checkPage(this.#trial, stream, pageOf(answer).records, from)
    else this.#judge(name, `read of ${from}: ${describe(answer)}`)
    const { code } = answer.json
    const isFalse = answer.status !== 200 && code !== 'corrupt_record' && answer.status < 503
    if (isFalse) this.#trial.find('wrong', `read of ${name}@${from}: ${describe(answer)}`)
  }

  async #trim(client: Client, name: string): Promise<void> {
    const stream = this.#ledger.of(name)
    stream.trimAsked += 5
    const body = { before: stream.trimAsked }
    const answer = await client.post(`${streamPath(name)}/trim`, body)
    if (answer.status !== 200) this.#judge(name, `trim: ${describe(answer)}`)
  }

  async #delete(client: Client, name: string): Promise<void> {
    const stream = this.#ledger.of(name)
    stream.deletion = 'asked'
    const answer = await client.send('DELETE', streamPath(name))
    if (answer.status === 204) stream.rebirth()
    else if (stream.exists) this.#judge(name, `DELETE: ${describe(answer)}`)
  }

  /** Whether the fault excuses that `stream` is refused. */
  #judge(stream: string, what: string): void {
    const { effect, on } = this.#row
    const isOfShard = SHARD.has(stream) || stream.startsWith('passing')
    const mayFail =
      (effect === 'stream' && stream === VICTIM) ||
      (effect.startsWith('shard') && (isOfShard || on === 'anything'))
    if (!mayFail) this.#trial.find('hurt', `${stream}: ${what}`)
  }

  /** Without the fault every stream is served again, by the same process. */
  async #expectBack(client: Client): Promise<void> {
    for (const stream of STREAMS) {
      if (this.#row.effect === 'shard for good' && SHARD.has(stream)) continue
      let refusal = ''
      const isBack = await until(BACK_MS, async () => {
        const records = [{ text: this.#ledger.text() }]
        const sent = this.#ledger.send([{ stream, records }])
        const appended = await client.append(stream, { records })
        const last = this.#ledger.of(stream).nextOffset - 1
        const read = await client.get(`${streamPath(stream)}/records?from=${last}`)
        const accepted = this.#ledger.answered(sent, appended)
        refusal = describe(accepted ? read : appended)
        return accepted && read.status === 200 ? true : undefined
      })
      if (isBack === undefined) this.#trial.find('refused', `${stream} stays away: ${refusal}`)
    }
  }

  async #checkAgain(): Promise<void> {
    const server = await Server.start(this.#trial, { data: this.#data })
    await auditWhole(this.#trial, server.client, this.#ledger)
    for (const stream of STREAMS) {
      const records = [{ text: this.#ledger.text() }]
      const sent = this.#ledger.send([{ stream, records }])
      const answer = await server.client.append(stream, { records })
      if (!this.#ledger.answered(sent, answer)) {
        this.#trial.find('refused', `append to ${stream} after a restart: ${describe(answer)}`)
      }
    }
    await sleep(200)
    await server.stop()
    const verified = await runCommand(['verify', '--data', this.#data])
    if (verified.code !== 0) this.#trial.find('wrong', `varve verify: ${damageIn(verified)}`)
  }
}

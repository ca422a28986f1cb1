import { auditDamaged, MODES, type Mode, type NamedRange } from '../damaged-audit.ts'
import { describe, streamPath } from '../client.ts'
import type { Ledger, StreamLedger } from '../ledger.ts'
import { Refused, runCommand, Server } from '../server.ts'
import { baseStores, copy, STREAMS, VICTIM } from '../tamper/store.ts'
import { tamper, type TamperCase, tamperCases } from '../tamper/targets.ts'
import { type Case, type Fault, sleep, type Trial, until } from '../trial.ts'

/** Time in which an append to a sound stream has to be accepted, and past a write-back. */
const APPEND_MS = 3_000
const WRITE_BACK_MS = 300
/** Streams that share their shard with the victim come first. */
const NEIGHBOURS = STREAMS.slice(1, 3)

export const tampering: Fault = {
  name: 'tamper',
  title:
    'every kind of file removed, emptied, cut, flipped, rewritten, exchanged or put back, then ' +
    'reads, appends, a second start and `varve verify`',
  needs: [],
  cases: ({ isLong }) => tamperCases(isLong).map(caseOf),
}

function caseOf(one: TamperCase): Case {
  return {
    name: `${one.kind.name}, ${one.tampering.name}, ${one.variant}`,
    run: async trial => {
      const base = await baseStores()
      const data = trial.path('data')
      copy(base[one.variant], data)
      if (tamper(data, one, base))
        await new TamperRun(trial, data, one, base.ledger.copy(trial)).run()
      else trial.notApplied = 'the store has nothing that fits'
    },
  }
}

class TamperRun {
  readonly #trial: Trial
  readonly #data: string
  readonly #case: TamperCase
  readonly #ledger: Ledger
  /** Streams that may suffer. */
  readonly #touched: ReadonlySet<string>
  #named = 0

  constructor(trial: Trial, data: string, one: TamperCase, ledger: Ledger) {
    this.#trial = trial
    this.#data = data
    this.#case = one
    this.#ledger = ledger
    this.#touched = touchedBy(one)
  }

  async run(): Promise<void> {
    const first = await this.#start()
    if (first === undefined) return
    await this.#look(first, ['links', 'none', 'checkpoint', 'genesis'])
    await this.#append(first)
    await sleep(WRITE_BACK_MS)
    await this.#append(first)
    await this.#checkReady(first)
    await this.#stop(first)
    this.#verifyOffline()
    const second = await this.#start()
    if (second === undefined) return
    await this.#look(second, ['links'])
    await this.#append(second)
    await this.#remove(second)
    await this.#stop(second)
  }

  /** Starts; where that is refused, who may suffer says whether it may be. */
  async #start(): Promise<Server | undefined> {
    try {
      return await Server.start(this.#trial, { data: this.#data })
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      const { scope } = this.#case.kind
      if (scope === 'service') this.#trial.note('starts refused by name', 1)
      else this.#trial.find(scope === 'nobody' ? 'refused' : 'hurt', `start: ${error.message}`)
      return undefined
    }
  }

  /** Reads everything; judges what was refused. */
  async #look(server: Server, modes: readonly Mode[]): Promise<void> {
    this.#named = 0
    for (const stream of this.#ledger.streams.values()) {
      const isTouched = this.#touched.has(stream.name)
      for (const mode of isTouched ? modes : modes.filter(one => MODES.indexOf(one) % 2 === 0)) {
        const { named, read } = await auditDamaged(this.#trial, server.client, stream, mode)
        if (isTouched) this.#judgeTouched(stream, mode, named, read)
        else if (named.length > 0) this.#hurt(`${stream.name} (${mode})`, named)
      }
      if (!isTouched) await this.#verify(server, stream)
    }
  }

  #judgeTouched(
    stream: StreamLedger,
    mode: Mode,
    named: readonly NamedRange[],
    read: ReadonlySet<number>,
  ): void {
    const { kind, tampering } = this.#case
    this.#named += named.length
    // The stronger modes refuse what they cannot vouch for, however sound it is by itself.
    if (named.length === 0 || mode === 'genesis' || mode === 'checkpoint') return
    const count = stream.records.size - read.size
    const what = `${stream.name} (${mode}): ${count} records refused, ${rangesOf(named)}`
    const isOneRecord = tampering.name === 'a record rewritten'
    if (isOneRecord && count > 1) this.#trial.find('refused', what)
    // Half of the records are in segments that the damaged file is not, or in the journal's past.
    const isStored = kind.scope === 'shard' || kind.name.endsWith('segment')
    if (isStored && read.size < stream.records.size / 3) this.#trial.find('refused', what)
  }

  #hurt(who: string, named: readonly NamedRange[]): void {
    const kind = this.#case.kind.scope === 'nobody' ? 'refused' : 'hurt'
    this.#trial.find(kind, `${who}: ${rangesOf(named)}`)
  }

  async #verify(server: Server, stream: StreamLedger): Promise<void> {
    const answer = await server.client.get(`${streamPath(stream.name)}/verify`)
    if (answer.json['ok'] !== true) {
      const said = answer.status === 200 ? JSON.stringify(answer.json) : describe(answer)
      this.#trial.find('hurt', `verify of ${stream.name}: ${said.slice(0, 200)}`)
    }
  }

  /** Appends to every stream: a sound one accepts, a damaged one accepts or refuses by name. */
  async #append(server: Server): Promise<void> {
    const endMs = performance.now() + APPEND_MS
    for (const stream of this.#ledger.streams.keys()) {
      const records = [{ text: this.#ledger.text(200) }]
      const isTouched = this.#touched.has(stream)
      let refusal = ''
      const accepted = await until(isTouched ? 0 : endMs - performance.now(), async () => {
        const sent = this.#ledger.send([{ stream, records }])
        const answer = await server.client.append(stream, { records })
        if (this.#ledger.answered(sent, answer)) return true
        refusal = describe(answer)
        return undefined
      })
      if (accepted === undefined && !isTouched) {
        const kind = this.#case.kind.scope === 'nobody' ? 'refused' : 'hurt'
        this.#trial.find(kind, `append to ${stream}: ${refusal}`)
      }
    }
  }

  /** One stream's damage leaves the service ready, with the stream on its list. */
  async #checkReady(server: Server): Promise<void> {
    const { scope } = this.#case.kind
    const ready = await server.client.get('/v1/ready')
    if (scope === 'shard' || scope === 'service') return
    if (ready.status !== 200) this.#trial.find('hurt', `ready: ${ready.body.toString()}`)
    else if (this.#named > 0 && !JSON.stringify(ready.json['damage'] ?? '').includes(VICTIM)) {
      this.#trial.find('wrong', `ready does not list the damage: ${ready.body.toString()}`)
    }
  }

  /** A damaged stream can be deleted, and its neighbours go on. */
  async #remove(server: Server): Promise<void> {
    if (this.#case.kind.scope !== 'stream') return
    const deleted = await server.client.send('DELETE', streamPath(VICTIM))
    if (deleted.status !== 204) {
      this.#trial.find('refused', `DELETE of the damaged stream: ${describe(deleted)}`)
      return
    }
    this.#ledger.streams.delete(VICTIM)
    await sleep(WRITE_BACK_MS)
    await this.#append(server)
  }

  /** What a start could not serve is still damage to whoever verifies. */
  #verifyOffline(): void {
    if (this.#named === 0) return
    const { code, text } = runCommand(['verify', '--data', this.#data])
    if (code === 0) {
      this.#trial.find('lost', `varve verify accepts what was not served: ${text.slice(-200)}`)
    }
  }

  async #stop(server: Server): Promise<void> {
    const code = await server.stop()
    if (code === undefined) this.#trial.find('slow', 'it did not stop')
  }
}

/** Streams that a tampering may hurt rightly. */
function touchedBy({ kind, tampering }: TamperCase): Set<string> {
  const isExchange = tampering.name === 'exchanged with another'
  switch (kind.scope) {
    case 'nobody':
      return new Set()
    case 'stream':
      return new Set(isExchange ? [VICTIM, NEIGHBOURS[0] as string] : [VICTIM])
    case 'shard':
      return new Set(isExchange ? [...STREAMS, 'trimmed'] : [VICTIM, ...NEIGHBOURS])
    case 'service':
      return new Set()
    default:
      throw new Error(`no such scope: ${String(kind.scope)}`)
  }
}

function rangesOf(named: readonly NamedRange[]): string {
  return named
    .map(({ from, to, code }) => `${code} ${from} to ${to}`)
    .join(', ')
    .slice(0, 200)
}

import { auditDamaged, MODES, type Mode, type NamedRange } from '../damaged-audit.ts'
import { describe, streamPath } from '../client.ts'
import type { Ledger, StreamLedger } from '../ledger.ts'
import { damageIn, type Outcome, Refused, runCommand, Server } from '../server.ts'
import { type FindingKind, sleep, type Trial, until } from '../trial.ts'
import { Losses } from './losses.ts'
import { STREAMS, TRIMMED, VICTIM } from './store.ts'
import { TWO_SIDED } from './tampering.ts'
import type { TamperCase } from './targets.ts'

/** Time in which an append to a sound stream has to be accepted, and past a write-back. */
const APPEND_MS = 3_000
const WRITE_BACK_MS = 300
/** Streams that share their shard with the victim come first. */
const NEIGHBOURS = STREAMS.slice(1, 3)

/** What follows one tampering: two starts with reads and appends, a repair, and a third. */
export class TamperRun {
  readonly #trial: Trial
  readonly #data: string
  readonly #case: TamperCase
  readonly #ledger: Ledger
  readonly #user: number | undefined
  /** Streams that may suffer. */
  readonly #touched: ReadonlySet<string>
  #named = 0
  /** What the last look could read of the touched streams. */
  readonly #read = new Map<string, ReadonlySet<number>>()

  /** @param user who owns `data`, if not the one that runs this */
  constructor(trial: Trial, data: string, one: TamperCase, ledger: Ledger, user?: number) {
    this.#trial = trial
    this.#data = data
    this.#case = one
    this.#ledger = ledger
    this.#user = user
    this.#touched = touchedBy(one)
  }

  async run(): Promise<void> {
    const first = await this.#start()
    if (first !== undefined) {
      await this.#look(first, ['links', 'none', 'checkpoint', 'genesis'])
      await this.#append(first)
      await sleep(WRITE_BACK_MS)
      await this.#append(first)
      await this.#checkReady(first)
      await this.#stop(first)
      const isDamaged = this.#named > 0
      if (isDamaged) await this.#verifyDamaged()
      const second = await this.#start()
      if (second === undefined) return
      await this.#look(second, ['links'])
      await this.#append(second)
      await this.#stop(second)
      const isSound = !isDamaged && this.#named === 0
      // If nothing was refused, the starts have repaired the damage.
      if (isSound && (await this.#command('verify')).code === 0) return
    }
    const losses = await this.#repair()
    if (losses !== undefined) await this.#checkRepaired(losses)
    else if (!this.#mayRefuseAll) await this.#checkUnmended()
  }

  /** Starts the service. Judges a refusal by what the tampering may hurt. */
  async #start(): Promise<Server | undefined> {
    try {
      return await Server.start(this.#trial, {
        data: this.#data,
        ...(this.#user !== undefined && { user: this.#user }),
      })
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      const { scope } = this.#case.kind
      if (this.#mayRefuseAll) this.#trial.note('starts refused by name', 1)
      else this.#trial.find(scope === 'nobody' ? 'refused' : 'hurt', `start: ${error.message}`)
      return undefined
    }
  }

  /** Whether the service, or a shard of it, may refuse everything as long as it says why. */
  get #mayRefuseAll(): boolean {
    return this.#case.kind.scope === 'service' || this.#case.isAway
  }

  /** Reads everything; judges what was refused. */
  async #look(server: Server, modes: readonly Mode[]): Promise<void> {
    this.#named = 0
    for (const stream of this.#ledger.streams.values()) {
      const isTouched = this.#touched.has(stream.name)
      for (const mode of isTouched ? modes : modes.filter(one => MODES.indexOf(one) % 2 === 0)) {
        const { named, read } = await auditDamaged(this.#trial, server.client, stream, mode)
        if (mode === 'links') this.#read.set(stream.name, read)
        if (isTouched) this.#judgeTouched(stream, mode, named, read)
        else if (named.length > 0) this.#hurt(`${stream.name} (${mode}): ${rangesOf(named)}`)
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
    const { kind, tampering, isAway } = this.#case
    this.#named += named.length
    // The stronger modes refuse what they cannot vouch for, however sound it is by itself.
    if (named.length === 0 || mode === 'genesis' || mode === 'checkpoint') return
    const count = stream.records.size - read.size
    const what = `${stream.name} (${mode}): ${count} records refused, ${rangesOf(named)}`
    const isOneRecord = tampering.name === 'a record rewritten'
    if (isOneRecord && count > 1) this.#trial.find('refused', what)
    // Half of the records are in segments that the damaged file is not, or in the journal's past.
    const isKept = stream.trimmed === 0
    const isStored = isKept && (kind.scope === 'shard' || kind.name.endsWith('segment'))
    if (isStored && !isAway && read.size < stream.records.size / 3)
      this.#trial.find('refused', what)
  }

  #hurt(what: string): void {
    this.#trial.find(this.#kindOfHurt(), what)
  }

  #kindOfHurt(): FindingKind {
    return this.#case.kind.scope === 'nobody' ? 'refused' : 'hurt'
  }

  async #verify(server: Server, stream: StreamLedger): Promise<void> {
    const answer = await server.client.get(`${streamPath(stream.name)}/verify`)
    if (answer.json['ok'] !== true) {
      const said = answer.status === 200 ? JSON.stringify(answer.json) : describe(answer)
      this.#hurt(`verify of ${stream.name}: ${said.slice(0, 200)}`)
    }
  }

  /** Appends to every stream: a sound one accepts, a damaged one accepts or refuses by name. */
  async #append(server: Server, isSound = (stream: string) => !this.#touched.has(stream)) {
    const endMs = performance.now() + APPEND_MS
    for (const stream of this.#ledger.streams.keys()) {
      const records = [{ text: this.#ledger.text(200) }]
      const mayRefuse = !isSound(stream)
      let refusal = ''
      const accepted = await until(mayRefuse ? 0 : endMs - performance.now(), async () => {
        const sent = this.#ledger.send([{ stream, records }])
        const answer = await server.client.append(stream, { records })
        if (this.#ledger.answered(sent, answer)) return true
        refusal = describe(answer)
        return undefined
      })
      if (accepted === undefined && !mayRefuse) this.#hurt(`append to ${stream}: ${refusal}`)
    }
  }

  /** One stream's damage leaves the service ready, with the stream on its list. */
  async #checkReady(server: Server): Promise<void> {
    const { scope } = this.#case.kind
    const ready = await server.client.get('/v1/ready')
    if (scope === 'shard' || this.#mayRefuseAll) return
    if (ready.status !== 200) this.#trial.find('hurt', `ready: ${ready.body.toString()}`)
    else if (this.#named > 0 && !JSON.stringify(ready.json['damage'] ?? '').includes(VICTIM)) {
      this.#trial.find('wrong', `ready does not list the damage: ${ready.body.toString()}`)
    }
  }

  /** What a start could not serve is still damage to whoever verifies. */
  async #verifyDamaged(): Promise<void> {
    const { code, text } = await this.#command('verify')
    if (code === 0 && !this.#case.isAway) {
      this.#trial.find('lost', `varve verify accepts what was not served: ${text.slice(-200)}`)
    }
  }

  /**
   * Repairs the store, and returns what that gave up; undefined where a repair was refused.
   * Everything in doubt was answered, so it is committed.
   */
  async #repair(): Promise<Losses | undefined> {
    let outcome = await this.#command('repair', '--apply', '--json')
    const undecided = Losses.undecidedIn(outcome.stdout)
    if (undecided.length > 0) {
      const commits = undecided.flatMap(id => ['--commit', id])
      outcome = await this.#command('repair', '--apply', '--json', ...commits)
    }
    if (outcome.code === 0) return Losses.parse(outcome.stdout)
    const mayFail = this.#mayRefuseAll || this.#case.isOutOfReach
    if (mayFail) this.#trial.note('repairs refused by name', 1)
    else this.#trial.find('refused', `varve repair: ${outcome.text.slice(-300)}`)
    return undefined
  }

  /** What a repair could not reach stays damaged, and nothing else. */
  async #checkUnmended(): Promise<void> {
    const server = await this.#start()
    if (server === undefined) return
    await this.#look(server, ['links'])
    await this.#append(server)
    await this.#stop(server)
  }

  /** After a repair the store verifies, serves all but what is stated, and takes appends. */
  async #checkRepaired(losses: Losses): Promise<void> {
    const verified = await this.#command('verify')
    if (verified.code !== 0 && this.#mayRefuseAll) {
      return this.#trial.note('stores that a repair leaves refused by name', 1)
    }
    if (verified.code !== 0) {
      this.#trial.find('wrong', `varve verify after a repair: ${damageIn(verified)}`)
    }
    const server = await this.#start()
    if (server === undefined) return
    for (const stream of this.#ledger.streams.values()) {
      await losses.take(this.#trial, server.client, stream, this.#read.get(stream.name))
    }
    await this.#append(server, () => true)
    await sleep(WRITE_BACK_MS)
    for (const stream of this.#ledger.streams.values()) {
      const { named } = await auditDamaged(this.#trial, server.client, stream, 'links')
      losses.judge(this.#trial, stream.name, named, this.#read.get(stream.name))
    }
    await this.#remove(server)
    await this.#stop(server)
    const again = await this.#command('verify')
    if (again.code !== 0) {
      this.#trial.find('wrong', `varve verify at the end: ${damageIn(again)}`)
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

  #command(name: string, ...args: string[]): Promise<Outcome> {
    return runCommand([name, '--data', this.#data, ...args], this.#user)
  }

  async #stop(server: Server): Promise<void> {
    const code = await server.stop()
    if (code === undefined) this.#trial.find('slow', 'it did not stop')
  }
}

/** Streams that a tampering may hurt rightly. */
function touchedBy({ kind, tampering, isAway }: TamperCase): Set<string> {
  const isTwoSided = TWO_SIDED.includes(tampering.name)
  const all = [...STREAMS, TRIMMED]
  if (isAway && kind.scope !== 'shard') return new Set(all)
  switch (kind.scope) {
    case 'nobody':
    case 'service':
      return new Set()
    case 'stream': {
      const twins = isTwoSided ? [NEIGHBOURS[0] as string] : []
      return new Set([VICTIM, ...twins])
    }
    case 'shard':
      return new Set(isTwoSided ? all : [VICTIM, ...NEIGHBOURS])
    case 'store':
      return new Set(all)
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

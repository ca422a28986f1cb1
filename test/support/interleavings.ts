import type { JournalMemory } from '../../src/shared/memory/journal-memory.ts'

// Every interleaving of synchronous actors over shared memory, in one thread. An actor is paused
// before each Atomics call, and before whatever else it calls an operation, by an exception. It
// goes on by running anew: what its earlier operations returned is replayed, and the memory that it
// saw after each of them is put back, so that its plain reads see what they saw. Equal states are
// expanded once.

/** Shared words that are part of a state: all but the counters. */
const WORDS = 176

/** What happens at an operation; `choice` is one of those that it has. */
type Perform<Observed> = (choice: number, observed: Observed) => unknown

type Shared = { readonly words: Int32Array; readonly slots: readonly Buffer[]; readonly id: string }

type Done = {
  readonly result: unknown
  /** The bell that was read: of its value only the rings since then count. */
  readonly bell: number | undefined
  readonly after: Shared
}

type ActorState = {
  /** What its operations returned since it began. */
  readonly log: readonly Done[]
  /** Names its private state at the mark it passed last, and where in the log that was. */
  readonly mark: string
  readonly markAt: number
  readonly choices: number
  readonly status: 'ready' | 'asleep' | 'woken' | 'done'
  /** The word on which it sleeps. */
  readonly word: number
}

type State<Observed> = {
  readonly shared: Shared
  readonly observed: Observed
  readonly actors: readonly ActorState[]
  readonly path: Path | undefined
}

type Path = { readonly step: string; readonly before: Path | undefined }

/** What an actor may do beside Atomics calls. */
export type Scheduler<Observed> = {
  /**
   * Names the private state of the actor here: with the same name, and the same results since, two
   * actors go on alike.
   */
  mark(name: string): void
  /** One of `choices`, each of which is tried. */
  operation(choices: number, perform: Perform<Observed>): unknown
  /** Notes what only an observer of the whole knows; nothing happens while results are replayed. */
  observe(change: (observed: Observed) => Observed): void
}

type Actor = { readonly name: string; readonly run: () => void }

export type Search<Observed extends object> = {
  readonly memory: JournalMemory
  /** Words that are only waited on: how often one was rung in all is no part of a state. */
  readonly bells: readonly number[]
  readonly observed: Observed
  readonly actors: (scheduler: Scheduler<Observed>) => readonly Actor[]
  /** Throws where a state breaks a promise; the memory is that of the state. */
  readonly check: (before: Observed, after: Observed, memoryBefore: Int32Array) => void
  /** Throws where no actor can go on and one that should be done is not. */
  readonly checkEnd: (isDone: readonly boolean[]) => void
  readonly statesMax: number
}

/** Thrown to leave an actor in the middle of its code. */
class Pause extends Error {
  readonly status: 'ready' | 'asleep'
  readonly value: number

  constructor(status: 'ready' | 'asleep', value: number) {
    super('paused')
    this.status = status
    this.value = value
  }
}

const ATOMICS = { ...atomics() }

/** Searches breadth first. Returns the number of states. Throws what a check throws */
export function searchAll<Observed extends object>(search: Search<Observed>): number {
  Error.stackTraceLimit = 0 // a pause is no failure, and there are millions
  try {
    return new Interleavings(search).run()
  } finally {
    Error.stackTraceLimit = 10
    Object.assign(Atomics, ATOMICS)
  }
}

class Interleavings<Observed extends object> {
  readonly #search: Search<Observed>
  readonly #actors: readonly Actor[]
  readonly #interned = new Map<string, string>()
  /** Mark → the first log that led to it: with any other that does, the actor is the same. */
  readonly #logs = new Map<string, readonly Done[]>()
  #state: State<Observed>
  #observed: Observed
  #log: readonly Done[] = []
  #at = 0
  #actor = 0
  #choice = 0
  #done: Done | undefined
  #woken: number | undefined
  #mark: string | undefined

  constructor(search: Search<Observed>) {
    this.#search = search
    this.#observed = search.observed
    this.#actors = search.actors({
      mark: name => {
        if (this.#done !== undefined) this.#mark = name
      },
      operation: (choices, perform) => this.#operation(choices, perform),
      observe: change => {
        if (this.#done !== undefined) this.#observed = change(this.#observed)
      },
    })
    const first = { log: [], mark: '', markAt: 0, choices: 1, status: 'ready', word: -1 } as const
    const actors = this.#actors.map(() => first)
    const shared = this.#capture(undefined)
    this.#state = { shared, observed: search.observed, actors, path: undefined }
    this.#hook()
  }

  run(): number {
    const seen = new Set([keyOf(this.#state)])
    let level = [this.#state]
    while (level.length > 0) {
      const next: State<Observed>[] = []
      for (const state of level) {
        const after = this.#expand(state)
        for (const one of after) {
          const key = keyOf(one)
          if (seen.has(key)) continue
          seen.add(key)
          next.push(one)
        }
      }
      if (seen.size > this.#search.statesMax) throw new Error(`more than ${seen.size} states`)
      level = next
    }
    return seen.size
  }

  #expand(state: State<Observed>): State<Observed>[] {
    const after: State<Observed>[] = []
    for (const [actor, { status, choices }] of state.actors.entries()) {
      if (status === 'asleep' || status === 'done') continue
      for (let choice = 0; choice < choices; choice += 1) {
        after.push(this.#step(state, actor, choice))
      }
    }
    if (after.length === 0) {
      this.#load(state.shared)
      this.#explain(state.path, () =>
        this.#search.checkEnd(state.actors.map(({ status }) => status === 'done')),
      )
    }
    return after
  }

  /** Lets one actor do its next operation, and what follows it up to the one after. */
  #step(state: State<Observed>, actor: number, choice: number): State<Observed> {
    const before = state.actors[actor] as ActorState
    const { name, run } = this.#actors[actor] as Actor
    this.#state = state
    this.#observed = state.observed
    this.#log = before.log
    this.#at = 0
    this.#actor = actor
    this.#choice = choice
    this.#done = undefined
    this.#woken = undefined
    this.#mark = undefined
    const path = { step: `${name} ${choice}`, before: state.path }
    let pause: Pause | undefined
    this.#explain(path, () => {
      try {
        run()
      } catch (error) {
        if (!(error instanceof Pause)) throw error
        pause = error
      }
      this.#search.check(state.observed, this.#observed, state.shared.words)
    })
    const shared = this.#capture(state.shared)
    const woken = state.actors.map(one =>
      one.status === 'asleep' && one.word === this.#woken
        ? ({ ...one, status: 'woken' } as const)
        : one,
    )
    const actors = woken.with(actor, this.#after(before, pause, name))
    return { shared, observed: this.#observed, actors, path }
  }

  #after(before: ActorState, pause: Pause | undefined, name: string): ActorState {
    if (pause?.status === 'asleep') return { ...before, status: 'asleep', word: pause.value }
    const log = this.#done === undefined ? before.log : [...before.log, this.#done]
    const common = {
      choices: pause?.value ?? 0,
      status: pause?.status ?? 'done',
      word: -1,
    } as const
    if (this.#mark === undefined) {
      return { log, mark: before.mark, markAt: before.markAt, ...common }
    }
    const key = `${name} ${this.#mark}`
    const known = this.#logs.get(key) ?? log
    this.#logs.set(key, known)
    return { log: known, mark: key, markAt: known.length, ...common }
  }

  #operation(choices: number, perform: Perform<Observed>, bell?: number): unknown {
    const at = this.#at++
    const known = this.#log[at]
    if (known !== undefined) {
      this.#load(known.after)
      return known.result
    }
    if (this.#done !== undefined) throw new Pause('ready', choices)
    this.#load(this.#state.shared)
    const result = perform(this.#choice, this.#observed)
    this.#done = { result, bell, after: this.#capture(this.#state.shared) }
    return result
  }

  /** Every Atomics call on the shared words is an operation from here on. */
  #hook(): void {
    const { bells, memory } = this.#search
    const { words } = memory
    for (const name of ['load', 'store', 'add', 'compareExchange'] as const) {
      const original = ATOMICS[name] as (...args: unknown[]) => unknown
      Object.assign(Atomics, {
        [name]: (...args: unknown[]) => {
          if (args[0] !== words) return original(...args)
          const bell = bells.find(word => word === args[1])
          return this.#operation(1, () => original(...args), bell)
        },
      })
    }
    Object.assign(Atomics, {
      notify: (_: Int32Array, word: number) =>
        this.#operation(1, () => {
          this.#woken = word
          return 0
        }),
      wait: (_: Int32Array, word: number, seen: number, timeoutMs: number) =>
        this.#operation(1, () => {
          if (this.#state.actors[this.#actor]?.status === 'woken') return 'ok'
          if (words[word] !== seen) return 'not-equal'
          if (timeoutMs !== Number.POSITIVE_INFINITY) return 'timed-out'
          throw new Pause('asleep', word)
        }),
    })
  }

  #load({ words, slots }: Shared): void {
    const { memory } = this.#search
    memory.words.set(words)
    for (const [slot, bytes] of slots.entries()) bytes.copy(memory.slots[slot] as Buffer)
  }

  /** The memory as it is; the parts that are as in `before` are taken from there. */
  #capture(before: Shared | undefined): Shared {
    const { memory } = this.#search
    const words = memory.words.slice(0, WORDS)
    const slots = memory.slots.map((slot, at) => {
      const same = before?.slots[at]
      return same?.equals(slot) === true ? same : Buffer.from(slot)
    })
    const isSame = before?.words.every((word, at) => word === words[at]) === true
    if (isSame && slots.every((slot, at) => slot === before?.slots[at])) return before
    const { bells } = this.#search
    const quiet = words.map((word, at) => (bells.includes(at) ? 0 : word))
    const parts = [quiet.join(), ...slots.map(slot => slot.latin1Slice())]
    return { words, slots, id: parts.map(part => this.#intern(part)).join(' ') }
  }

  #intern(content: string): string {
    const known = this.#interned.get(content)
    if (known !== undefined) return known
    const id = String(this.#interned.size)
    this.#interned.set(content, id)
    return id
  }

  #explain(path: Path | undefined, act: () => void): void {
    try {
      act()
    } catch (error) {
      const steps: string[] = []
      for (let at = path; at !== undefined; at = at.before) steps.unshift(at.step)
      if (error instanceof Error) error.message += `\nafter ${steps.join(', ')}`
      throw error
    }
  }
}

function keyOf<Observed>({ shared, observed, actors }: State<Observed>): string {
  const parts = actors.map(({ log, mark, markAt, status }) => {
    const results = log
      .slice(markAt)
      .map(({ result, bell }) =>
        bell === undefined ? String(result) : `-${(shared.words[bell] as number) - Number(result)}`,
      )
    return `${mark}:${results.join()}:${status}`
  })
  return `${shared.id}|${JSON.stringify(observed)}|${parts.join('|')}`
}

function atomics() {
  const { load, store, add, compareExchange, notify, wait } = Atomics
  return { load, store, add, compareExchange, notify, wait }
}

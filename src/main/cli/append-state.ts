import { hash } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { fileExists, type InputFile, readJsonFile, replaceFile } from '../files.ts'
import { LedgerState } from './append-ledger.ts'
import { CommandFailure, ExitCode } from './context.ts'

// The file that an append leaves behind, so that --resume goes on where it stopped. It stays when
// everything is appended: a run that was killed right before it could say so is told by it.

/** What is hashed of the input's start, to tell it from another file of the same name. */
const PREFIX_BYTES = 64 * 1024
const LINE_FEED_HASH = hash('sha256', '\n')

/** How an input is made into records. */
export const AppendMode = z.enum(['lines', 'ndjson', 'text', 'json', 'binary', 'guessed'])
export type AppendMode = z.infer<typeof AppendMode>

const AppendState = z.strictObject({
  version: z.literal(1),
  stream: z.string(),
  file: z.string(),
  mode: AppendMode,
  prefix: z.strictObject({ bytes: z.number().int().min(0), sha256: z.string() }),
  /** Of the first record; then no other writer's records may lie between those of this append. */
  expectedOffset: z.number().int().min(0).nullable(),
  isComplete: z.boolean(),
  ledger: LedgerState,
})
export type AppendState = z.infer<typeof AppendState>

/** What an append does, besides how far it is. */
export type AppendSource = Omit<AppendState, 'version' | 'isComplete' | 'ledger'>

/** Describes `input` as it is now. */
export async function describeSource(
  input: InputFile,
  facts: Pick<AppendState, 'stream' | 'mode' | 'expectedOffset'>,
): Promise<AppendSource> {
  const bytes = Math.min(PREFIX_BYTES, input.size ?? 0)
  const prefix = { bytes, sha256: await input.hash(0, bytes) }
  return { ...facts, file: await input.realPath(), prefix }
}

/**
 * Where the state of an append is kept when nobody says so, by server, stream and file.
 * @throws CommandFailure when there is no home directory
 */
export function defaultStatePath(
  env: Readonly<Record<string, string | undefined>>,
  parts: readonly [url: string, stream: string, file: string],
): string {
  const { XDG_STATE_HOME: state, HOME: home } = env
  const base = state || (home && join(home, '.local', 'state'))
  if (base === undefined || base === '') {
    throw new CommandFailure('there is no home directory to keep the state in: give --state')
  }
  const name = hash('sha256', JSON.stringify(parts)).slice(0, 16)
  return join(base, 'varve', `append-${name}.json`)
}

export class AppendStateFile {
  readonly path: string
  readonly #source: AppendSource

  constructor(path: string, source: AppendSource) {
    this.path = path
    this.#source = source
  }

  async save(ledger: LedgerState, isComplete: boolean): Promise<void> {
    const state: AppendState = { version: 1, ...this.#source, isComplete, ledger }
    try {
      await replaceFile(this.path, `${JSON.stringify(state)}\n`)
    } catch (error) {
      const reason = (error as Error).message
      throw new CommandFailure(`the state cannot be written: ${reason}`, ExitCode.Failure, error)
    }
  }

  /** @throws CommandFailure when the state there is of an append that has not ended */
  refuseUnfinished(): void {
    if (!fileExists(this.path)) return
    const { isComplete, ledger } = readState(this.path)
    const isBegun = ledger.durable.records > 0 || ledger.pending.length > 0
    if (isComplete || !isBegun) return
    throw new CommandFailure(
      `an append of this file stopped after ${ledger.durable.records} records: go on with ` +
        `--resume, or remove ${this.path} to append all of it again`,
    )
  }

  /**
   * The state to go on from.
   * @throws CommandFailure with what to do, when there is none, or the input is not what it was
   */
  async resume(input: InputFile): Promise<AppendState> {
    if (!fileExists(this.path)) {
      throw new CommandFailure(
        `there is nothing to go on from: no state at ${this.path}; ` +
          'run without --resume to begin, or say with --state where the state is',
      )
    }
    const state = readState(this.path)
    await this.#check(state, input)
    return state
  }

  async #check(state: AppendState, input: InputFile): Promise<void> {
    const { stream, file, mode } = this.#source
    const { prefix, ledger } = state
    const size = input.size ?? 0
    const { position } = ledger.durable
    const least = Math.max(prefix.bytes, ledger.pending.at(-1)?.end ?? position)
    if (state.stream !== stream) throw this.#refusal(`stream ${JSON.stringify(state.stream)}`)
    if (state.file !== file) throw this.#refusal(`the file ${state.file}`)
    if (state.mode !== mode) throw this.#refusal(MODES[state.mode])
    if (size < least) throw changed(`it has ${size} bytes, and ${least} had been read`)
    if ((await input.hash(0, prefix.bytes)) !== prefix.sha256) {
      throw changed(`its first ${prefix.bytes} bytes are others`)
    }
    if (position === 0 || size === position) return
    const isWhole = mode === 'ndjson' || mode === 'lines'
    if (!isWhole || (await input.hash(position - 1, position)) !== LINE_FEED_HASH) {
      throw changed('its last record was appended, and then it went on in the middle of it')
    }
  }

  #refusal(what: string): CommandFailure {
    return new CommandFailure(`the state at ${this.path} is of an append of ${what}`)
  }
}

const MODES: Readonly<Record<AppendMode, string>> = {
  lines: 'lines: give --lines',
  ndjson: 'JSON lines: give --ndjson',
  text: 'one text: give --type text',
  json: 'one JSON value: give --type json',
  binary: 'one binary record: give --type binary',
  guessed: 'one record: give neither --lines, --ndjson nor --type',
}

function changed(reason: string): CommandFailure {
  return new CommandFailure(`the file has changed since: ${reason}; it cannot be gone on with`)
}

function readState(path: string): AppendState {
  const parsed = AppendState.safeParse(readJsonFile(path))
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    const place = issue?.path.join('.') ?? ''
    throw new CommandFailure(`${path} is no state of an append: ${place} ${issue?.message ?? ''}`)
  }
  return parsed.data
}

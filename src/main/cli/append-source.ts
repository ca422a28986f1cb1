import { hash } from 'node:crypto'
import { hostname } from 'node:os'
import { RecordFormat } from '../../shared/format/record.ts'
import { InputFile } from '../files.ts'
import { AppendLedger, type LedgerState, newLedgerState } from './append-ledger.ts'
import {
  type AppendMode,
  AppendStateFile,
  defaultStatePath,
  describeSource,
} from './append-state.ts'
import { type CommandContext, CommandFailure, ExitCode } from './context.ts'

export const FORMATS = {
  text: RecordFormat.Text,
  json: RecordFormat.Json,
  binary: RecordFormat.Binary,
} as const

export type AppendFlags = {
  readonly lines?: true
  readonly ndjson?: true
  readonly type?: keyof typeof FORMATS
  readonly durability?: string
  readonly expectedOffset?: number
  readonly batchRecords: number
  readonly resume?: true
  readonly state?: string
  readonly producer?: string
  readonly epoch?: number
  readonly json?: true
}

/** What is appended, and from where on. */
export type Source = {
  /** Undefined: standard input. */
  readonly file: InputFile | undefined
  /** Byte at which the first record starts. */
  readonly start: number
  /** Undefined where batches bear no number. */
  readonly ledger: AppendLedger | undefined
  /** Where it is kept how far the append is. */
  readonly state: AppendStateFile | undefined
  readonly expectedOffset: number | undefined
}

/** @throws CommandFailure when it cannot be read, or not be gone on with */
export async function openSource(
  context: CommandContext,
  url: string,
  stream: string,
  path: string | undefined,
  flags: AppendFlags,
): Promise<Source> {
  const file = path === undefined || path === '-' ? undefined : await InputFile.open(path)
  if (file?.size !== undefined) {
    try {
      return await openResumable(context, url, stream, file, flags)
    } catch (error) {
      await file.close()
      throw error
    }
  }
  if (flags.resume === true || flags.state !== undefined) {
    throw new CommandFailure(
      'only the append of a file can be gone on with, for other input is gone once it is read; ' +
        'save it to a file first',
      ExitCode.Usage,
    )
  }
  if (file === undefined && context.stdin.isTTY === true) {
    context.stderr.write('Reading from the terminal; end with Ctrl-D.\n')
  }
  // Without a name there are no numbers: a stream remembers a bounded number of producers, and one
  // for each of many short appends would use them up.
  const { producer: id } = flags
  const ledger =
    id === undefined ? undefined : new AppendLedger(newLedgerState(producerOf(id, flags)))
  return { file, start: 0, ledger, state: undefined, expectedOffset: flags.expectedOffset }
}

async function openResumable(
  context: CommandContext,
  url: string,
  stream: string,
  file: InputFile,
  flags: AppendFlags,
): Promise<Source> {
  const mode = modeOf(flags)
  const expectedOffset = flags.expectedOffset ?? null
  const source = await describeSource(file, { stream, mode, expectedOffset })
  const path = flags.state ?? defaultStatePath(context.env, [url, stream, source.file])
  if (flags.resume !== true) {
    const state = new AppendStateFile(path, source)
    state.refuseUnfinished()
    const producer = producerOf(flags.producer ?? nameOf(source.file), flags)
    const ledger = ledgerOf(newLedgerState(producer), state)
    await state.save(ledger.state, false)
    announce(context, ledger, path)
    return { file, start: 0, ledger, state, expectedOffset: flags.expectedOffset }
  }
  const found = await new AppendStateFile(path, source).resume(file)
  const state = new AppendStateFile(path, { ...source, expectedOffset: found.expectedOffset })
  const ledger = ledgerOf(continued(found.ledger), state)
  announce(context, ledger, path)
  const { position, nextOffset } = found.ledger.durable
  const expected = found.expectedOffset === null ? undefined : (nextOffset ?? found.expectedOffset)
  return { file, start: position, ledger, state, expectedOffset: expected }
}

/**
 * With nothing in doubt the numbers begin anew, in a later epoch: a server that has forgotten the
 * old ones, as it does after a while, takes them too.
 */
function continued(ledger: LedgerState): LedgerState {
  if (ledger.pending.length > 0) return ledger
  const { id, epoch } = ledger.producer
  return {
    ...ledger,
    producer: { id, epoch: Math.max(Date.now(), epoch + 1) },
    durable: { ...ledger.durable, seq: 0 },
  }
}

function ledgerOf(state: LedgerState, file: AppendStateFile): AppendLedger {
  return new AppendLedger(state, (next, isComplete) => file.save(next, isComplete))
}

function announce({ stderr }: CommandContext, ledger: AppendLedger, path: string): void {
  const { producer, durable } = ledger.state
  const name = `producer ${JSON.stringify(producer.id)}, epoch ${producer.epoch}`
  const { records, position } = durable
  const place = records === 0 ? '' : ` Going on after ${records} records, at byte ${position}.`
  stderr.write(`Appending as ${name}; --resume goes on from ${path}.${place}\n`)
}

/** Numbers count from 0 in an epoch of their own, whatever the producer has sent before. */
function producerOf(id: string, { epoch }: AppendFlags): LedgerState['producer'] {
  return { id, epoch: epoch ?? Date.now() }
}

/** The same for every append of a file, so that there is one for each file and not each append. */
function nameOf(path: string): string {
  return `file-${hash('sha256', JSON.stringify([hostname(), path])).slice(0, 16)}`
}

function modeOf({ lines, ndjson, type }: AppendFlags): AppendMode {
  if (lines === true) return 'lines'
  return ndjson === true ? 'ndjson' : (type ?? 'guessed')
}

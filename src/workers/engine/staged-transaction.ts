import { decodeOperation, type Operation, OperationType } from '../../shared/format/operation.ts'
import { type AppendOperation, keepAppend } from '../streams/journaled-append.ts'
import { readConfig } from '../streams/stream-config.ts'
import { StreamLog, type TailFrame } from '../streams/stream-log.ts'
import type { StreamTable } from '../streams/stream-table.ts'
import type { TailArena } from '../streams/tail-arena.ts'

// What a pending frame says, kept until its transaction is resolved. The engine and recovery go by
// the same bytes: those of the journal.

export type StagedTransaction = {
  readonly id: number
  /** The shard whose journal decides. */
  readonly coordinator: number
  /** µs since 1970, of all of its records. */
  readonly timestamp: number
  /** The frame's operations, a copy: at most one create before each append. */
  readonly payload: Buffer
  /** Names of the streams that it appends to. */
  readonly streams: readonly string[]
  /** How many of them it creates. */
  readonly creates: number
  /** LSN of the end of its pending frame. */
  readonly endLsn: number
}

/** What a committed transaction did to one stream. */
export type TransactionAppended = {
  readonly log: StreamLog
  readonly frame: TailFrame
  readonly creates: boolean
}

type Create = Extract<Operation, { type: typeof OperationType.Create }>
type Step = { readonly create: Create | undefined; readonly append: AppendOperation }

/**
 * A transaction's frame as it was found in the journal; undefined when its operations make no sense
 * for the streams there are.
 */
export function stageFrame(
  table: StreamTable,
  frame: Omit<StagedTransaction, 'streams' | 'creates'>,
): StagedTransaction | undefined {
  const { payload } = frame
  const steps = decodeSteps(payload, 0, payload.length)
  const streams = steps?.map(({ create, append }) => {
    const log = table.byId(append.streamId)
    const nextOffset = create === undefined ? log?.nextOffset : 0
    return nextOffset === append.firstOffset ? (create ?? log)?.name : undefined
  })
  if (steps === undefined || !isComplete(streams)) return undefined
  return { ...frame, streams, creates: steps.filter(({ create }) => create).length }
}

/**
 * Takes the operations of `[from, to)` as assigned: they follow the heads of their streams, or make
 * new ones. Undefined when they make no sense.
 */
export function assignTransaction(
  table: StreamTable,
  arena: TailArena,
  payload: Buffer,
  [from, to]: readonly [number, number],
  timestamp: number,
  endLsn: number,
): TransactionAppended[] | undefined {
  const appended = decodeSteps(payload, from, to)?.map(({ create, append }) => {
    if (create !== undefined) table.assign(streamOf(create))
    const log = table.byId(append.streamId)
    if (log?.nextOffset !== append.firstOffset) return undefined
    const frame = keepAppend(append, log, arena, payload, timestamp, endLsn)
    log.assign(frame)
    return { log, frame, creates: create !== undefined }
  })
  return isComplete(appended) ? appended : undefined
}

export function streamOf({ name, streamId, createdAt, config }: Create): StreamLog {
  return new StreamLog(name, streamId, createdAt, readConfig(config))
}

function decodeSteps(payload: Buffer, from: number, to: number): Step[] | undefined {
  const steps: Step[] = []
  let create: Create | undefined
  for (let at = from; at < to; ) {
    const operation = decodeOperation(payload, at, to)
    if (operation?.type === OperationType.Create && create === undefined) create = operation
    else if (operation?.type === OperationType.Append) {
      if (create !== undefined && create.streamId !== operation.streamId) return undefined
      steps.push({ create, append: operation })
      create = undefined
    } else return undefined
    at = operation.end
  }
  return create === undefined && steps.length > 0 ? steps : undefined
}

function isComplete<Item>(items: readonly (Item | undefined)[] | undefined): items is Item[] {
  return items !== undefined && !items.includes(undefined)
}

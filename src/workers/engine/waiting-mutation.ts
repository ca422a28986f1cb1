import type { Mutation, MutationResult } from '../../shared/protocol/shard.ts'

/** A mutation that has not become a frame yet, and who is to hear of it. */
export type WaitingMutation = {
  readonly mutation: Mutation
  readonly bytes: Buffer
  readonly answer: (result: MutationResult) => void
  /** Called when it is set aside for a transaction: its answer may take long. */
  readonly onParked: () => void
}

/** The streams that it changes. */
export function streamsOf(mutation: Mutation): readonly string[] {
  if ('stream' in mutation) return [mutation.stream]
  return 'appends' in mutation ? mutation.appends.map(({ stream }) => stream) : []
}

/** Not what makes room, waits, or ends what others wait for: that stays possible on a full disk. */
export function takesSpace(mutation: Mutation): boolean {
  const { kind } = mutation
  const isNeeded = kind === 'delete' || kind === 'close' || kind === 'trim' || kind === 'barrier'
  return !isNeeded && !endsTransaction(mutation)
}

export function endsTransaction({ kind }: Mutation): boolean {
  return kind === 'decide' || kind === 'resolve' || kind === 'forget'
}

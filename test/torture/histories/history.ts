// What concurrent clients asked and were told, with the times between which each operation took
// effect. Nothing is judged here.

/** One operation: it took effect, if at all, at one moment between `startMs` and `endMs`. */
export type Interval = { readonly startMs: number; readonly endMs: number }

/** An append. Without an answer it may have taken effect until its server had ended. */
export type AppendOperation = Interval & {
  readonly stream: string
  readonly digests: readonly string[]
  /** `unknown`: no answer, or one that says so. */
  readonly outcome: 'applied' | 'refused' | 'unknown'
  readonly expectedOffset?: number | undefined
  /** Of an answer. */
  readonly firstOffset?: number
  readonly streamId?: string
}

/** Consecutive records that a read or a tail brought. */
export type Observation = Interval & {
  readonly stream: string
  readonly streamId: string
  readonly firstOffset: number
  readonly digests: readonly string[]
  /** The end of the stream, where the answer told it; a tail brings records one by one. */
  readonly tailOffset: number | undefined
}

/** A deletion; unanswered, it may have taken effect or not. */
export type Deletion = Interval & { readonly stream: string; readonly isAnswered: boolean }

/** An answer that there is no such stream. */
type Absence = Interval & { readonly stream: string }

export type History = {
  readonly appends: AppendOperation[]
  readonly observations: Observation[]
  readonly deletions: Deletion[]
  readonly absences: Absence[]
}

export function emptyHistory(): History {
  return { appends: [], observations: [], deletions: [], absences: [] }
}

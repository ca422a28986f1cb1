import type { Answer, Json } from '../client.ts'
import { digestOf } from '../ledger.ts'
import { emptyHistory } from './history.ts'

/** An append whose answer is open. */
export type OpenAppend = {
  readonly stream: string
  readonly digests: readonly string[]
  readonly startMs: number
  readonly expectedOffset: number | undefined
}

/** Writes down what clients ask and are told. */
export class Recorder {
  readonly history = emptyHistory()
  /** Stream → the largest end of an append that was acknowledged as durable. */
  readonly acknowledged = new Map<string, number>()
  /** Without an answer; they may take effect until their server has ended. */
  #unanswered: OpenAppend[] = []
  #deletions: { readonly stream: string; readonly startMs: number }[] = []
  #count = 0

  /** A record that no other append of the history has. */
  record(): Json {
    this.#count += 1
    return { text: `${this.#count}.`.padEnd(24 + (this.#count % 200), 'history ') }
  }

  begin(stream: string, records: readonly Json[], expectedOffset?: number): OpenAppend {
    return { stream, digests: records.map(digestOf), startMs: performance.now(), expectedOffset }
  }

  applied(append: OpenAppend, answer: Answer): void {
    const { firstOffset, streamId } = answer.json
    const endMs = performance.now()
    const { stream, digests } = append
    const nextOffset = Number(firstOffset) + digests.length
    this.acknowledged.set(stream, Math.max(nextOffset, this.acknowledged.get(stream) ?? 0))
    this.history.appends.push({
      ...append,
      endMs,
      outcome: 'applied',
      firstOffset: Number(firstOffset),
      streamId: String(streamId),
    })
  }

  refused(append: OpenAppend): void {
    this.history.appends.push({ ...append, endMs: performance.now(), outcome: 'refused' })
  }

  unknown(append: OpenAppend): void {
    this.#unanswered.push(append)
  }

  deleted(stream: string, startMs: number): void {
    this.history.deletions.push({ stream, startMs, endMs: performance.now(), isAnswered: true })
  }

  deletionUnknown(stream: string, startMs: number): void {
    this.#deletions.push({ stream, startMs })
  }

  absent(stream: string, startMs: number): void {
    this.history.absences.push({ stream, startMs, endMs: performance.now() })
  }

  /** Notes a page of records. */
  page(stream: string, startMs: number, { json }: Answer): void {
    const records = json['records'] as readonly Json[]
    this.seen(stream, String(json['streamId']), {
      startMs,
      firstOffset: Number(json['firstOffset']),
      records,
      tailOffset: Number(json['tailOffset']),
    })
  }

  seen(
    stream: string,
    streamId: string,
    page: {
      readonly startMs: number
      readonly firstOffset: number
      readonly records: readonly Json[]
      readonly tailOffset?: number
    },
  ): void {
    const { records, tailOffset, ...rest } = page
    const digests = records.map(digestOf)
    this.history.observations.push({
      stream,
      streamId,
      ...rest,
      endMs: performance.now(),
      digests,
      tailOffset,
    })
  }

  /** The server has ended: what it had not answered takes no effect from now on. */
  serverEnded(): void {
    const endMs = performance.now()
    for (const append of this.#unanswered) {
      this.history.appends.push({ ...append, endMs, outcome: 'unknown' })
    }
    for (const deletion of this.#deletions) {
      this.history.deletions.push({ ...deletion, endMs, isAnswered: false })
    }
    this.#unanswered = []
    this.#deletions = []
  }
}

import type { Sink } from '../../src/main/tail/subscription.ts'
import type { RecordObject } from '../../src/shared/schemas/read.ts'
import { until } from './memory-store.ts'

/** A subscriber's socket that takes bytes when the test says so. */
export class FakeSink implements Sink {
  readonly format = 'json'
  readonly offsets: number[] = []
  readonly said: string[] = []
  bufferedBytes = 0
  bufferedMost = 0
  failure: unknown

  #taken: (() => void)[] = []

  send(message: Buffer, onTaken: () => void): void {
    this.#taken.push(onTaken)
    const { records } = JSON.parse(message.toString()) as { records: RecordObject[] }
    this.offsets.push(...records.map(({ offset }) => offset))
    this.bufferedBytes += message.length
    this.bufferedMost = Math.max(this.bufferedMost, this.bufferedBytes)
  }

  drain(): void {
    this.bufferedBytes = 0
    for (const onTaken of this.#taken.splice(0)) onTaken()
  }

  drained(bytes: number): Promise<void> {
    return until(() => this.bufferedBytes <= bytes)
  }

  sendLive(): void {
    this.said.push('live')
  }

  sendHeartbeat(): void {
    this.said.push('heartbeat')
  }

  endClosed(): void {
    this.said.push('closed')
  }

  endFailed(error: unknown): void {
    this.said.push('failed')
    this.failure = error
  }
}

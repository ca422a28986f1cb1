import { formatTime } from '../../shared/format/render.ts'
import type { AppendResult } from '../../shared/protocol/streams.ts'

/** Answers of appends as JSON text (api.md, Append). */
export class AppendAnswers {
  // Appends of one moment share their time.
  #timestamp = 0
  #time = ''

  /** By hand: a third of the cost of JSON.stringify, and only the name needs escapes. */
  render(stream: string, count: number, result: AppendResult): string {
    const { firstOffset, nextOffset, durability, durable, duplicate, timestamp } = result
    return (
      `{"stream":${JSON.stringify(stream)},"firstOffset":${firstOffset},` +
      `"nextOffset":${nextOffset},"count":${count},"durability":"${durability}",` +
      `"durable":${durable},"duplicate":${duplicate},"timestamp":"${this.#timeOf(timestamp)}",` +
      `"streamId":"${result.streamId}","recordHash":"${result.recordHash}",` +
      `"chainHead":"${result.chainHead}"}`
    )
  }

  #timeOf(timestamp: number): string {
    if (timestamp !== this.#timestamp) this.#time = formatTime(timestamp)
    this.#timestamp = timestamp
    return this.#time
  }
}

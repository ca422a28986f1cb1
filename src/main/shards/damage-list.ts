import type { StoreError } from '../../shared/errors.ts'
import type { StreamDamage, StreamInfo } from '../../shared/protocol/streams.ts'

/** Streams that are listed; damage of further ones is not kept. */
const DAMAGED_STREAMS_MAX = 1000
/** Ranges of one stream; past it they become one that spans them all. */
const RANGES_MAX = 100

/**
 * The damage that was met since the service started, by stream id. It is kept in memory only: what
 * is still damaged after a start is met again.
 */
export class DamageList {
  readonly #streams = new Map<string, StreamDamage[]>()

  /** Adds a range; overlapping ranges become one. Returns whether it said anything new. */
  note(damage: StreamDamage): boolean {
    const known = this.#streams.get(damage.streamId)
    if (known === undefined) {
      if (this.#streams.size >= DAMAGED_STREAMS_MAX) return false
      this.#streams.set(damage.streamId, [damage])
      return true
    }
    if (known.some(range => covers(range, damage))) return false
    const apart = known.filter(range => !overlaps(range, damage))
    const merged = span([...known.filter(range => overlaps(range, damage)), damage])
    const ranges = [...apart, merged].sort((left, right) => left.firstOffset - right.firstOffset)
    this.#streams.set(damage.streamId, ranges.length > RANGES_MAX ? [span(ranges)] : ranges)
    return true
  }

  /** Every range, those of one stream together and ascending. */
  all(): readonly StreamDamage[] {
    return [...this.#streams.values()].flat()
  }

  /** The stream's description with its damage, if it has any. */
  describe(info: StreamInfo): StreamInfo {
    const damage = this.#streams.get(info.streamId)
    return damage === undefined ? info : { ...info, damage }
  }

  /** Forgets a stream that was deleted. */
  forget(stream: string): void {
    for (const [streamId, [range]] of this.#streams) {
      if (range?.stream === stream) this.#streams.delete(streamId)
    }
  }

  /** Forgets what was trimmed. */
  forgetBelow(streamId: string, firstOffset: number): void {
    const kept = this.#streams.get(streamId)?.filter(range => range.nextOffset > firstOffset)
    if (kept === undefined) return
    if (kept.length === 0) this.#streams.delete(streamId)
    else this.#streams.set(streamId, kept)
  }
}

/** The damage that a `corrupt_record` of a reader tells of. */
export function damageOf(
  stream: Pick<StreamDamage, 'stream' | 'streamId'>,
  { message, fields }: StoreError,
): StreamDamage {
  const firstOffset = Number(fields['firstCorruptOffset'] ?? 0)
  const nextOffset = Number(fields['nextReadableOffset'] ?? firstOffset + 1)
  return { ...stream, firstOffset, nextOffset, reason: message }
}

function covers(range: StreamDamage, other: StreamDamage): boolean {
  return range.firstOffset <= other.firstOffset && range.nextOffset >= other.nextOffset
}

function overlaps(left: StreamDamage, right: StreamDamage): boolean {
  return left.firstOffset < right.nextOffset && right.firstOffset < left.nextOffset
}

/** One range from the start of the first to the end of the last; the oldest names the reason. */
function span(ranges: readonly StreamDamage[]): StreamDamage {
  const [oldest] = ranges as readonly [StreamDamage]
  const firstOffset = Math.min(...ranges.map(range => range.firstOffset))
  const nextOffset = Math.max(...ranges.map(range => range.nextOffset))
  const { stream, streamId, reason } = oldest
  return { stream, streamId, firstOffset, nextOffset, reason }
}

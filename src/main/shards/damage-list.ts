import type { StoreError } from '../../shared/errors.ts'
import type { StreamDamage, StreamInfo } from '../../shared/protocol/streams.ts'

/** Most streams listed; damage to further streams is not kept. */
const DAMAGED_STREAMS_MAX = 1000
/** Most ranges of one stream; more are merged into one range that spans them all. */
const RANGES_MAX = 100

/**
 * Lists the damage found since the service started, by stream id. It is kept in memory only: after
 * a restart, reads and the write-back find it again. Records that cannot be written to segments are
 * listed until they are.
 */
export class DamageList {
  readonly #streams = new Map<string, StreamDamage[]>()
  /** By shard: records that cannot be written to segments now. */
  readonly #unwritten = new Map<number, readonly StreamDamage[]>()

  /** Adds a range, merging it with overlapping ones. Returns whether it was new. */
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

  /** Replaces the list of a shard's records that cannot be written to segments. */
  setUnwritten(shard: number, damage: readonly StreamDamage[]): void {
    this.#unwritten.set(shard, damage.slice(0, DAMAGED_STREAMS_MAX))
  }

  /** Returns all ranges, grouped by stream and ascending within each. */
  all(): readonly StreamDamage[] {
    const found = [...this.#streams.values()].flat()
    return found.concat(...this.#unwritten.values())
  }

  /** Returns the stream's info with its damage, if it has any. */
  describe(info: StreamInfo): StreamInfo {
    const unwritten = [...this.#unwritten.values()]
      .flat()
      .filter(({ streamId }) => streamId === info.streamId)
    const damage = [...(this.#streams.get(info.streamId) ?? []), ...unwritten]
    return damage.length === 0 ? info : { ...info, damage }
  }

  /** Forgets a stream that was deleted. */
  forget(stream: string): void {
    for (const [shard, damage] of this.#unwritten) {
      this.#unwritten.set(
        shard,
        damage.filter(range => range.stream !== stream),
      )
    }
    for (const [streamId, [range]] of this.#streams) {
      if (range?.stream === stream) this.#streams.delete(streamId)
    }
  }

  /** Forgets ranges that were trimmed. */
  forgetBelow(streamId: string, firstOffset: number): void {
    const kept = this.#streams.get(streamId)?.filter(range => range.nextOffset > firstOffset)
    if (kept === undefined) return
    if (kept.length === 0) this.#streams.delete(streamId)
    else this.#streams.set(streamId, kept)
  }
}

/** Returns the damage that a reader's `corrupt_record` names. */
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

/** Returns the smallest range that covers all `ranges`, with the reason of the first. */
function span(ranges: readonly StreamDamage[]): StreamDamage {
  const [oldest] = ranges as readonly [StreamDamage]
  const firstOffset = Math.min(...ranges.map(range => range.firstOffset))
  const nextOffset = Math.max(...ranges.map(range => range.nextOffset))
  const { stream, streamId, reason } = oldest
  return { stream, streamId, firstOffset, nextOffset, reason }
}

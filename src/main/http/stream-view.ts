import { formatTime } from '../../shared/format/render.ts'
import type { StreamInfo as StoredInfo } from '../../shared/protocol/streams.ts'
import type { StreamInfo } from '../../shared/schemas/streams.ts'

/** A stream as clients see it. */
export function viewStream(info: StoredInfo): StreamInfo {
  const { damage, ...rest } = info
  const shown = { ...rest, createdAt: formatTime(info.createdAt) }
  return damage === undefined ? shown : { ...shown, damage: [...damage] }
}

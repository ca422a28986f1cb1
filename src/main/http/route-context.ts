import type { Metrics } from '../observe/metrics.ts'
import type { Sessions } from '../session/sessions.ts'
import type { StreamStore } from '../store.ts'
import type { Hub } from '../tail/hub.ts'
import type { HttpConfig } from './http-config.ts'
import type { PartialMessages } from './partial-messages.ts'
import type { Reads } from './reads.ts'
import type { RequestBodies } from './request-bodies.ts'
import type { Upgrades } from './upgrades.ts'

/** What every route is given. */
export type RouteContext = {
  readonly store: StreamStore
  readonly config: HttpConfig
  readonly bodies: RequestBodies
  readonly reads: Reads
  readonly partialMessages: PartialMessages
  readonly hub: Hub
  readonly sessions: Sessions
  /** For messages as long as a request body. */
  readonly upgrades: Upgrades
  readonly metrics: Metrics
}

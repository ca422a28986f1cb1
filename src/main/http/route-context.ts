import type { Metrics } from '../observe/metrics.ts'
import type { Sessions } from '../session/sessions.ts'
import type { StreamStore } from '../store.ts'
import type { Hub } from '../tail/hub.ts'
import type { BodyBudget } from './body-budget.ts'
import type { HttpConfig } from './http-config.ts'
import type { Upgrades } from './upgrades.ts'

/** What every route is given. */
export type RouteContext = {
  readonly store: StreamStore
  readonly config: HttpConfig
  readonly budget: BodyBudget
  readonly hub: Hub
  readonly sessions: Sessions
  /** For messages as long as a request body. */
  readonly upgrades: Upgrades
  readonly metrics: Metrics
}

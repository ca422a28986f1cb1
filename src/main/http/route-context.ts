import type { Metrics } from '../observe/metrics.ts'
import type { StreamStore } from '../store.ts'
import type { Hub } from '../tail/hub.ts'
import type { BodyBudget } from './body-budget.ts'
import type { HttpConfig } from './http-config.ts'

/** What every route is given. */
export type RouteContext = {
  readonly store: StreamStore
  readonly config: HttpConfig
  readonly budget: BodyBudget
  readonly hub: Hub
  readonly metrics: Metrics
}

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { BarrierAnswer, HealthAnswer, ReadyAnswer } from '../../../shared/schemas/service.ts'
import type { RouteContext } from '../route-context.ts'

/** Health, readiness, metrics, and the barrier. */
export function serviceRoutes({ store, metrics, hub }: RouteContext): FastifyPluginAsyncZod {
  return async app => {
    app.post('/v1/barrier', { schema: { response: { 200: BarrierAnswer } } }, async () => {
      await store.barrier()
      return { durable: true as const }
    })
    app.get('/v1/health', { schema: { response: { 200: HealthAnswer } } }, async () => ({
      status: 'ok' as const,
    }))
    const ready = { 200: ReadyAnswer, 503: ReadyAnswer }
    app.get('/v1/ready', { schema: { response: ready } }, async (_request, reply) => {
      const shards = store.status()
      const isReady = !hub.isClosed && shards.every(({ state }) => state === 'ready')
      if (!isReady) reply.code(503).header('retry-after', '1')
      return { ready: isReady, shards, damage: [...store.damage()] }
    })
    app.get('/metrics', { schema: { hide: true } }, async (_request, reply) =>
      reply.header('content-type', metrics.contentType).send(await metrics.render()),
    )
  }
}

import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { checkStreamName } from '../../../shared/format/stream-name.ts'
import type { StreamConfig } from '../../../shared/protocol/streams.ts'
import { Problem } from '../../../shared/schemas/problem.ts'
import { StreamParams } from '../../../shared/schemas/scalars.ts'
import {
  NoContent,
  StreamInfo,
  StreamList,
  StreamListQuery,
  StreamOptions,
  TrimBody,
} from '../../../shared/schemas/streams.ts'
import type { RouteContext } from '../route-context.ts'
import { viewStream } from '../stream-view.ts'

const URL = '/v1/streams/:stream'
/** A request without a body asks for nothing in particular. */
const OptionalBody = StreamOptions.nullish()

/** Create, describe, change, close, trim, delete and list streams. */
export function streamRoutes({ store, config, metrics }: RouteContext): FastifyPluginAsyncZod {
  return async app => {
    const params = StreamParams
    const response = { 200: StreamInfo, '4xx': Problem }
    const created = { 201: StreamInfo, ...response }
    const removed = { 204: NoContent, '4xx': Problem }
    app.put(
      URL,
      { schema: { params, body: OptionalBody, response: created } },
      async (request, reply) => {
        const stream = checkStreamName(request.params.stream)
        const wanted = { ...config.streamDefaults, ...changes(request.body) }
        const { created, info } = await store.create(stream, wanted)
        reply.code(created ? 201 : 200)
        return viewStream(info)
      },
    )
    app.get(URL, { schema: { params, response }, exposeHeadRoute: true }, async ({ params }) =>
      viewStream(await store.info(checkStreamName(params.stream))),
    )
    const changed = { params, body: OptionalBody, response }
    app.patch(URL, { schema: changed }, async ({ params, body }) =>
      viewStream(await store.configure(checkStreamName(params.stream), changes(body))),
    )
    app.post(`${URL}/close`, { schema: { params, response } }, async ({ params }) =>
      viewStream(await store.closeStream(checkStreamName(params.stream))),
    )
    const trimmed = { params, body: TrimBody, response }
    app.post(`${URL}/trim`, { schema: trimmed }, async ({ params, body }) => {
      const info = await store.trim(checkStreamName(params.stream), body.before)
      metrics.onTrim()
      return viewStream(info)
    })
    app.delete(URL, { schema: { params, response: removed } }, async ({ params }, reply) => {
      await store.remove(checkStreamName(params.stream))
      return reply.code(204).send(null)
    })
    app.get(
      '/v1/streams',
      { schema: { querystring: StreamListQuery, response: { 200: StreamList, '4xx': Problem } } },
      async ({ query }) => {
        const { streams, next } = await store.list(query)
        return { streams: streams.map(viewStream), next }
      },
    )
  }
}

/** The options that were named; bounds of a retention that were not are not there either. */
function changes(options: StreamOptions | null | undefined): Partial<StreamConfig> {
  const named = Object.entries(options ?? {}).filter(([, value]) => value !== undefined)
  return Object.fromEntries(named)
}

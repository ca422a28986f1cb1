import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { formatTime } from '../../../shared/format/render.ts'
import { checkStreamName } from '../../../shared/format/stream-name.ts'
import type { Checkpoint as StoredCheckpoint } from '../../../shared/protocol/streams.ts'
import {
  Checkpoint,
  CheckpointList,
  CheckpointListQuery,
  KeyList,
} from '../../../shared/schemas/checkpoints.ts'
import { Problem } from '../../../shared/schemas/problem.ts'
import { StreamParams } from '../../../shared/schemas/scalars.ts'
import type { RouteContext } from '../route-context.ts'

const URL = '/v1/streams/:stream/checkpoints'

/** Signs a stream as it is now, lists what was signed, and the keys that signed. */
export function checkpointRoutes({ store, reads, metrics }: RouteContext): FastifyPluginAsyncZod {
  return async app => {
    const params = StreamParams
    const written = { params, response: { 200: Checkpoint, '4xx': Problem } }
    app.post(URL, { schema: written }, async ({ params }) => {
      const checkpoint = await store.checkpoint(checkStreamName(params.stream))
      metrics.onCheckpoint()
      return viewCheckpoint(checkpoint)
    })
    const response = { 200: CheckpointList, '4xx': Problem }
    const listed = { params, querystring: CheckpointListQuery, response }
    app.get(URL, { schema: listed }, async ({ params, query }, reply) => {
      const stream = checkStreamName(params.stream)
      const { checkpoints, next } = await reads.whole(reply.raw, signal =>
        store.checkpoints(stream, query, signal),
      )
      return { stream, checkpoints: checkpoints.map(viewCheckpoint), next }
    })
    app.get('/v1/keys', { schema: { response: { 200: KeyList } } }, async () => ({
      keys: await store.keys(),
    }))
  }
}

/** The signature is over microseconds, which a time on the wire does not have. */
function viewCheckpoint(checkpoint: StoredCheckpoint): Checkpoint {
  const { timestamp } = checkpoint
  return { ...checkpoint, timestamp: formatTime(timestamp), timestampMicros: timestamp }
}

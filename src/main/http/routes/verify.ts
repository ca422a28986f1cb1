import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { checkStreamName } from '../../../shared/format/stream-name.ts'
import { Problem } from '../../../shared/schemas/problem.ts'
import { StreamParams } from '../../../shared/schemas/scalars.ts'
import { VerifyAnswer, VerifyQuery } from '../../../shared/schemas/verify.ts'
import type { RouteContext } from '../route-context.ts'

/** Checks a stream's chain and reports; a broken chain is an answer, not a failure. */
export function verifyRoute({ store, reads }: RouteContext): FastifyPluginAsyncZod {
  return async app => {
    app.get(
      '/v1/streams/:stream/verify',
      {
        schema: {
          params: StreamParams,
          querystring: VerifyQuery,
          response: { 200: VerifyAnswer, '4xx': Problem },
        },
      },
      async ({ params, query: { from, to } }, reply) => {
        const stream = checkStreamName(params.stream)
        const range = {
          ...(from === undefined ? {} : { from }),
          ...(to === undefined ? {} : { to }),
        }
        return reads.whole(reply.raw, signal => store.verify(stream, range, signal))
      },
    )
  }
}

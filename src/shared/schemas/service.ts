import { z } from 'zod'
import { StreamDamage } from './streams.ts'

export const HealthAnswer = z.object({ status: z.literal('ok') })
export type HealthAnswer = z.infer<typeof HealthAnswer>

export const ReadyAnswer = z.object({
  ready: z.boolean(),
  shards: z.array(
    z.object({
      shard: z.number(),
      state: z.enum(['recovering', 'ready', 'disk_full', 'read_only', 'failed', 'stopped']),
      detail: z.string().optional(),
      directIo: z
        .enum(['off', 'on', 'unavailable'])
        .optional()
        .describe('Whether the journal goes past the page cache; unavailable: asked for in vain.'),
    }),
  ),
  damage: z
    .array(StreamDamage)
    .describe('Parts of streams that cannot be read or stored; they alone do not make it 503.'),
})
export type ReadyAnswer = z.infer<typeof ReadyAnswer>

export const BarrierAnswer = z.object({ durable: z.literal(true) })
export type BarrierAnswer = z.infer<typeof BarrierAnswer>

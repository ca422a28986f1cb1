import { Piscina } from 'piscina'
import { StoreError } from '../../shared/errors.ts'
import type { ReaderReply, ReaderRequest } from '../../shared/protocol/reader.ts'
import type { ReadPlan, ShardOptions } from '../../shared/protocol/shard.ts'
import type {
  CheckpointPage,
  PublicKey,
  ReadRequest,
  VerifyReport,
} from '../../shared/protocol/streams.ts'

type Reply<Kind extends ReaderReply['kind']> = Extract<ReaderReply, { readonly kind: Kind }>

/** The reader threads: they see files, never a shard's memory. */
export class Readers {
  readonly #data: string
  readonly #pool: Piscina

  constructor(data: string, threads: number) {
    this.#data = data
    this.#pool = new Piscina({
      filename: new URL('../../workers/reader.js', import.meta.url).href,
      minThreads: threads,
      maxThreads: threads,
      atomics: 'disabled',
    })
  }

  /** Opens the data directory, or lays out a new one. @throws StoreError invalid_request */
  open(
    shards: number | undefined,
    options: ShardOptions,
    signingKey: string | undefined,
  ): Promise<Reply<'opened'>> {
    return this.#run('opened', { kind: 'open', data: this.#data, shards, options, signingKey })
  }

  read(plan: ReadPlan, request: ReadRequest): Promise<Reply<'page'>> {
    return this.#run('page', { kind: 'read', data: this.#data, plan, request })
  }

  async verify(plan: ReadPlan, from: number, to: number): Promise<VerifyReport> {
    const request = { kind: 'verify', data: this.#data, plan, from, to } as const
    return (await this.#run('verified', request)).report
  }

  async checkpoints(plan: ReadPlan, from: number, limit: number): Promise<CheckpointPage> {
    const request = { kind: 'checkpoints', data: this.#data, plan, from, limit } as const
    return (await this.#run('checkpoints', request)).page
  }

  async keys(activeKeyId: string): Promise<PublicKey[]> {
    const { keys } = await this.#run('keys', { kind: 'keys', data: this.#data, activeKeyId })
    return [...keys]
  }

  close(): Promise<void> {
    return this.#pool.destroy()
  }

  /** @throws StoreError as the reader has it */
  async #run<Kind extends ReaderReply['kind']>(
    kind: Kind,
    request: ReaderRequest,
  ): Promise<Reply<Kind>> {
    const reply = (await this.#pool.run(request)) as ReaderReply
    if (reply.kind === 'error') throw StoreError.fromPlain(reply.error)
    if (reply.kind !== kind) throw new StoreError('internal', `a reader answered ${reply.kind}`)
    return reply as Reply<Kind>
  }
}

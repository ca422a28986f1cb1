import type { FastifyRequest } from 'fastify'
import { StoreError } from '../../shared/errors.ts'

/** Bytes of request bodies in memory, bounded; each body is charged before it is read. */
export class BodyBudget {
  readonly #bytesMax: number
  #used = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get used(): number {
    return this.#used
  }

  hasRoom(bytes: number): boolean {
    return this.#used + bytes <= this.#bytesMax
  }

  /** @throws StoreError overloaded */
  charge(bytes: number): void {
    if (!this.hasRoom(bytes)) {
      throw new StoreError('overloaded', 'too many request bodies are in memory')
    }
    this.#used += bytes
  }

  release(bytes: number): void {
    this.#used -= bytes
  }
}

/** What requests under way hold of the budget: each is charged before its body is read. */
export class BodyCharges {
  readonly #budget: BodyBudget
  readonly #requestBytesMax: number
  readonly #charged = new WeakMap<FastifyRequest, number>()

  constructor(budget: BodyBudget, requestBytesMax: number) {
    this.#budget = budget
    this.#requestBytesMax = requestBytesMax
  }

  /** @throws StoreError body_too_large, overloaded */
  charge(request: FastifyRequest): void {
    const bytes = this.#announced(request.headers['content-length'])
    this.#budget.charge(bytes)
    this.#charged.set(request, bytes)
  }

  /** Idempotent. */
  release(request: FastifyRequest): void {
    this.#budget.release(this.#charged.get(request) ?? 0)
    this.#charged.delete(request)
  }

  /** A body of unknown length may become as long as is allowed. */
  #announced(contentLength: string | undefined): number {
    const requestBytesMax = this.#requestBytesMax
    if (contentLength === undefined) return requestBytesMax
    const bytes = Number(contentLength)
    if (bytes <= requestBytesMax) return bytes
    const detail = `the request body has ${bytes} bytes, ${requestBytesMax} are allowed`
    throw new StoreError('body_too_large', detail, { requestBytesMax })
  }
}

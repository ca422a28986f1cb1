import type { IncomingMessage } from 'node:http'
import { createGunzip, createInflate, type Gunzip, type Inflate } from 'node:zlib'
import { StoreError } from '../../shared/errors.ts'
import { KIB } from '../../shared/limits.ts'
import type { BodyBudget } from './body-budget.ts'

/** Memory of a decoder: its window, its state, and one chunk of output. */
const DECODER_BYTES = 128 * KIB
const FIRST_BYTES = 64 * KIB
const EMPTY = Buffer.alloc(0)

type Decoder = Gunzip | Inflate
export type BodyDone = (failure: StoreError | null, body?: Buffer) => void

/**
 * Collects one request body. Each byte is charged to the budget when it arrives, decoded or not,
 * and stays charged until `release`. The body is decoded as it arrives, so that a body that expands
 * past the limit is refused at the limit.
 */
export class ArrivingBody {
  readonly #request: IncomingMessage
  readonly #budget: BodyBudget
  readonly #bytesMax: number
  readonly #decoder: Decoder | undefined
  #done: BodyDone | undefined
  #bytes = EMPTY
  #length = 0
  #arrived = 0
  #hasArrived = false
  #hasDecoded = false
  #charged = 0

  /** @param bytesMax of the body, as sent and as decoded */
  constructor(request: IncomingMessage, budget: BodyBudget, bytesMax: number) {
    this.#request = request
    this.#budget = budget
    this.#bytesMax = bytesMax
    this.#decoder = decoderOf(request.headers['content-encoding'])
  }

  /** Bytes received from the connection so far, before decoding. */
  get arrived(): number {
    return this.#arrived
  }

  /** Whether the sender is not to blame for a pause: all has arrived, or the decoder is busy. */
  get isDecoding(): boolean {
    return this.#hasArrived || (this.#decoder?.writableLength ?? 0) > 0
  }

  /** Collects the body, then calls `done` once with it or with a failure. */
  read(done: BodyDone): void {
    this.#done = done
    const request = this.#request
    request.on('data', this.#onArrived)
    request.on('end', this.#onEnd)
    request.on('error', this.#onGone)
    request.on('close', this.#onGone)
    const decoder = this.#decoder
    if (decoder === undefined) return
    this.#charge(DECODER_BYTES)
    decoder.on('data', this.#onDecoded)
    decoder.on('end', () => {
      this.#hasDecoded = true
      this.#finishDecoded()
    })
    decoder.on('error', () =>
      this.fail(invalid('the body does not match its Content-Encoding, or it is cut short')),
    )
    request.pipe(decoder)
  }

  /** Refuses the body with `failure`. The rest of it is read and discarded. */
  fail(failure: StoreError): void {
    const done = this.#detach()
    if (done === undefined) return
    this.release()
    this.#request.resume()
    done(failure)
  }

  /** Returns the charged bytes to the budget. Idempotent. */
  release(): void {
    this.#budget.release(this.#charged)
    this.#charged = 0
    this.#bytes = EMPTY
  }

  readonly #onArrived = (chunk: Buffer): void => {
    this.#arrived += chunk.length
    if (this.#arrived > this.#bytesMax) return this.fail(bodyTooLarge(this.#bytesMax))
    if (this.#decoder === undefined) this.#keep(chunk)
  }

  readonly #onDecoded = (chunk: Buffer): void => {
    if (this.#length + chunk.length > this.#bytesMax) {
      return this.fail(bodyTooLarge(this.#bytesMax))
    }
    this.#keep(chunk)
  }

  readonly #onEnd = (): void => {
    this.#hasArrived = true
    if (this.#decoder === undefined) this.#finish()
    else this.#finishDecoded()
  }

  readonly #onGone = (): void => {
    if (!this.#hasArrived) this.fail(invalid('the request ended before its body did'))
  }

  /** Refuses bytes after the end of the encoded body, which the decoder ignores silently. */
  #finishDecoded(): void {
    const decoder = this.#decoder
    if (!this.#hasArrived || !this.#hasDecoded || decoder === undefined) return
    if (decoder.bytesWritten === this.#arrived) return this.#finish()
    this.fail(invalid('the body has more bytes after the end of its Content-Encoding'))
  }

  #finish(): void {
    const body = this.#bytes.subarray(0, this.#length)
    this.#detach()?.(null, body)
  }

  #keep(chunk: Buffer): void {
    if (!this.#charge(chunk.length)) {
      return this.fail(noRoomForBody())
    }
    const length = this.#length + chunk.length
    // Copied, because a chunk is a view of its connection's read buffer.
    if (length > this.#bytes.length) this.#grow(length)
    chunk.copy(this.#bytes, this.#length)
    this.#length = length
  }

  /** Grows the buffer to twice `length`, but at most to the announced Content-Length. */
  #grow(length: number): void {
    const announced = Number(this.#request.headers['content-length'] ?? 0)
    const isKnown = this.#decoder === undefined && announced >= length
    const larger = this.#length === 0 && length < FIRST_BYTES ? length : length * 2
    const bytes = Buffer.allocUnsafe(isKnown ? Math.min(larger, announced) : larger)
    this.#bytes.copy(bytes, 0, 0, this.#length)
    this.#bytes = bytes
  }

  #charge(bytes: number): boolean {
    if (!this.#budget.hasRoom(bytes, this.#charged + bytes)) return false
    this.#budget.charge(bytes)
    this.#charged += bytes
    return true
  }

  /** Removes the listeners. Returns `done` the first time, undefined later. */
  #detach(): BodyDone | undefined {
    const done = this.#done
    this.#done = undefined
    const request = this.#request
    request.off('data', this.#onArrived)
    request.off('end', this.#onEnd)
    const decoder = this.#decoder
    if (decoder === undefined) return done
    request.unpipe(decoder)
    decoder.off('data', this.#onDecoded)
    decoder.destroy()
    return done
  }
}

/** @throws StoreError unsupported_media_type */
function decoderOf(encoding: string | undefined): Decoder | undefined {
  switch (encoding?.trim().toLowerCase()) {
    case undefined:
    case '':
    case 'identity':
      return undefined
    case 'gzip':
    case 'x-gzip':
      return createGunzip()
    case 'deflate':
      return createInflate()
    default: {
      const detail = `the Content-Encoding ${JSON.stringify(encoding)} is not gzip or deflate`
      throw new StoreError('unsupported_media_type', detail)
    }
  }
}

export function bodyTooLarge(requestBytesMax: number): StoreError {
  const detail = `the request body has more bytes than the limit of ${requestBytesMax}`
  return new StoreError('body_too_large', detail, { requestBytesMax })
}

export function noRoomForBody(): StoreError {
  const detail = 'the request bodies in memory use up their budget; try again later'
  return new StoreError('overloaded', detail)
}

function invalid(detail: string): StoreError {
  return new StoreError('invalid_request', detail)
}

import { isIP } from 'node:net'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { StoreError } from '../../shared/errors.ts'
import { isLoopback } from '../config.ts'
import type { HttpConfig } from './http-config.ts'

// Who may talk to the service (api.md, Trust at the door).
//
// - Host: a page of a foreign name that resolves to this address (DNS rebinding) sends that name.
//   A name that its owner cannot point elsewhere is safe: an IP address, a loopback name.
// - Origin: a browser sends requests for any page and says whose page it is. Other clients send
//   no Origin, so this check keeps out pages, not programs.

type TrustConfig = Pick<HttpConfig, 'host' | 'allowedHosts' | 'allowedOrigins'>

const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '[::1]']
const ANY = '*'
/** A request target with a host, which is checked like Host (RFC 9112 section 3.2.2). */
const ABSOLUTE = /^https?:\/\/([^/?#]*)/i
/** A name or an IP address, the latter in brackets if it is of version 6; then maybe a port. */
const HOST = /^(\[[0-9a-f:.]+\]|[^:[\]/@]+)(?::\d{1,5})?$/

const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE'
/** Headers that pages of an allowed origin may send and read. */
const REQUEST_HEADERS =
  'Accept, Authorization, Content-Encoding, Content-Type, Last-Event-ID, ' +
  'Producer-Epoch, Producer-Id, Producer-Seq'
const RESPONSE_HEADERS =
  'Allow, Retry-After, Varve-First-Offset, Varve-Last-Hash, Varve-Next-Offset, ' +
  'Varve-Signed-Through, Varve-Stream-Closed, Varve-Stream-Id, Varve-Tail-Offset, ' +
  'Varve-Unvouched-Offset'
const PREFLIGHT_SECONDS = '600'

export class Trust {
  readonly #hosts: ReadonlySet<string>
  readonly #origins: ReadonlySet<string>
  readonly #isLoopback: boolean

  constructor({ host, allowedHosts, allowedOrigins }: TrustConfig) {
    const own = host.includes(':') ? `[${host}]` : host
    this.#hosts = new Set([...LOOPBACK_NAMES, own, ...allowedHosts].map(name => name.toLowerCase()))
    this.#origins = new Set(allowedOrigins)
    this.#isLoopback = isLoopback(host)
  }

  /**
   * Checks the Host of a request.
   * @throws StoreError misdirected, invalid_request when there are two, or none in HTTP/1.1
   */
  checkHost({ headers, rawHeaders, httpVersion, url = '' }: IncomingMessage): void {
    const { host } = headers
    const target = ABSOLUTE.exec(url)?.[1]
    if (target !== undefined && !this.#isServed(target.toLowerCase())) throw misdirected()
    if (host === undefined) {
      if (httpVersion === '1.0') return
      throw new StoreError('invalid_request', 'the request has no Host')
    }
    if (countHosts(rawHeaders) > 1) {
      throw new StoreError('invalid_request', 'the request has more than one Host')
    }
    if (!this.#isServed(host.toLowerCase())) throw misdirected()
  }

  /**
   * Returns whether `origin` is allowed beside the service's own.
   * @throws StoreError forbidden when it is neither
   */
  checkOrigin(origin: string, host: string | undefined): boolean {
    if (this.#origins.has(ANY) || this.#origins.has(origin)) return true
    if (host !== undefined && isOwn(origin, host)) return false
    const detail = 'pages of this origin may not use the service; add the origin to allowedOrigins'
    throw new StoreError('forbidden', detail)
  }

  #isServed(host: string): boolean {
    const hosts = this.#hosts
    if (hosts.has(host) || hosts.has(ANY)) return true
    const name = HOST.exec(host)?.[1]
    if (name === undefined) return false
    if (hosts.has(name)) return true
    if (this.#isLoopback) return false
    // Nobody can make a foreign page of these: an address, and a name of the local network.
    return isIP(name.replace(/^\[|\]$/g, '')) !== 0 || !name.includes('.')
  }
}

/** Refuses who may not talk to the service, before anything else is done with a request. */
export function addTrust(app: FastifyInstance, trust: Trust): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { raw } = request
    const { origin, host } = raw.headers
    try {
      trust.checkHost(raw)
      if (origin === undefined) return done()
      const isAllowed = trust.checkOrigin(origin, host)
      if (isAllowed) {
        reply.header('access-control-allow-origin', origin)
        reply.header('access-control-expose-headers', RESPONSE_HEADERS)
        reply.header('vary', 'Origin')
      }
    } catch (error) {
      // What else the connection carries is not to be trusted either.
      reply.header('connection', 'close')
      return done(error as Error)
    }
    if (!isPreflight(raw)) return done()
    reply.header('access-control-allow-methods', METHODS)
    reply.header('access-control-allow-headers', REQUEST_HEADERS)
    reply.header('access-control-max-age', PREFLIGHT_SECONDS)
    reply.code(204).send()
  })
}

function isPreflight({ method, headers }: IncomingMessage): boolean {
  return method === 'OPTIONS' && headers['access-control-request-method'] !== undefined
}

function misdirected(): StoreError {
  const detail =
    'the Host of the request is not a name of this service; ' +
    'use localhost or 127.0.0.1, or add the name to allowedHosts'
  return new StoreError('misdirected', detail)
}

/** Of names and values in turn; `headers` keeps only the first Host. */
function countHosts(rawHeaders: readonly string[]): number {
  let count = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? ''
    if (name.length === 4 && name.toLowerCase() === 'host') count += 1
  }
  return count
}

function isOwn(origin: string, host: string): boolean {
  const base = `http://${host}`
  return URL.canParse(origin) && URL.canParse(base) && new URL(origin).host === new URL(base).host
}

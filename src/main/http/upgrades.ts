import { type IncomingHttpHeaders, IncomingMessage, type Server } from 'node:http'
import type { Socket } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { StoreError } from '../../shared/errors.ts'

const GOING_AWAY = 1001
/** Addresses that serve WebSockets. */
const WEBSOCKET_TARGET = /^\/v1\/(?:session|streams\/[^/?]+\/tail)(?:\?|$)/
/** Sec-WebSocket-Key of RFC 6455 section 4.1: 16 bytes in base64. */
const WEBSOCKET_KEY = /^[+/0-9A-Za-z]{22}==$/
/** Versions of the protocol that `ws` speaks. */
const WEBSOCKET_VERSIONS = ['8', '13']
/** A token of RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/**
 * A class for the requests of a server that ignores Upgrade (RFC 9110 section 7.8) but on its
 * WebSocket routes: other requests, with their bodies, are served as if they had not asked, e.g.
 * those of clients that would rather speak HTTP/2. Node asks `upgrade` once the headers are parsed,
 * and gives the connection away where it is true.
 *
 * @param isBusy whether a connection has requests to answer, so that it cannot change its protocol
 */
export function upgradableRequest(isBusy: (socket: Socket) => boolean): typeof IncomingMessage {
  return class extends IncomingMessage {
    // Not a private name: Node's constructor assigns `upgrade` before there is one.
    declare isUpgradeAsked: boolean

    get upgrade(): boolean {
      const { method, url = '', headers, socket } = this
      if (!this.isUpgradeAsked) return false
      if (method === 'CONNECT') return true
      return (
        method === 'GET' && isHandshake(headers) && WEBSOCKET_TARGET.test(url) && !isBusy(socket)
      )
    }

    set upgrade(isAsked: boolean | null) {
      this.isUpgradeAsked = isAsked === true
    }
  }
}

/**
 * Returns whether `ws` accepts the handshake. It answers any other by itself, in HTML and in its
 * own words; as a plain request it is answered with a problem, as everything else is.
 */
function isHandshake(headers: IncomingHttpHeaders): boolean {
  const version = headers['sec-websocket-version'] ?? ''
  const protocols = headers['sec-websocket-protocol']?.split(/[ \t]*,[ \t]*/) ?? []
  return (
    headers.upgrade?.toLowerCase() === 'websocket' &&
    WEBSOCKET_KEY.test(headers['sec-websocket-key'] ?? '') &&
    WEBSOCKET_VERSIONS.includes(version) &&
    protocols.every(name => TOKEN.test(name)) &&
    new Set(protocols).size === protocols.length
  )
}

/**
 * Upgrades to WebSockets whose messages may have another length than those of the plugin, which has
 * one bound for all of its own.
 */
export class Upgrades {
  readonly #heads = new WeakMap<IncomingMessage, Buffer>()
  readonly #server: WebSocketServer

  /** @param payloadBytesMax of one message; past it the connection is closed with 1009 */
  constructor(server: Server, payloadBytesMax: number) {
    this.#server = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: payloadBytesMax,
    })
    // Before the plugin routes the request.
    server.prependListener('upgrade', (request, _socket, head) => this.#heads.set(request, head))
  }

  /** `onOpen` is called in this turn, or never, the request being answered with what is wrong. */
  accept(request: IncomingMessage, onOpen: (socket: WebSocket, connection: Socket) => void): void {
    const head = this.#heads.get(request)
    const connection = request.socket
    if (head === undefined) throw new StoreError('internal', 'the request asks for no upgrade')
    this.#server.handleUpgrade(request, connection, head, socket => onOpen(socket, connection))
  }

  /** Closes what is left, and cuts what has not answered by the end of the grace. */
  close(graceMs: number): void {
    const { clients } = this.#server
    for (const client of clients) client.close(GOING_AWAY)
    const terminate = () => clients.forEach(client => client.terminate())
    const timer = setTimeout(terminate, graceMs)
    this.#server.close(() => clearTimeout(timer))
  }
}

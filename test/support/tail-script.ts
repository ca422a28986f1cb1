import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'

/** What a test does with one connection. */
export type TailScript = (socket: WebSocket, from: number, after: string | null) => void

/**
 * A server whose stream ends at `nextOffset`, and whose tails do as the scripts say, one for each
 * connection. Returns where each connection started.
 */
export async function withTails(
  nextOffset: number,
  scripts: readonly TailScript[],
  run: (url: string) => Promise<void>,
): Promise<number[]> {
  const starts: number[] = []
  const server = createServer((_, outgoing) => {
    outgoing.end(JSON.stringify({ firstOffset: 0, nextOffset }))
  })
  const tails = new WebSocketServer({ server })
  tails.on('connection', (socket, request) => {
    const { searchParams } = new URL(request.url ?? '', 'http://host')
    const from = Number(searchParams.get('from'))
    starts.push(from)
    scripts[starts.length - 1]?.(socket, from, searchParams.get('after'))
  })
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  try {
    await run(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  } finally {
    for (const socket of tails.clients) socket.terminate()
    tails.close()
    server.closeAllConnections()
    server.close()
  }
  return starts
}

/** A message with records from `from` on, below `to`, whose data is their offset. */
export function recordsMessage(from: number, to: number, lastHash?: string): string {
  const records = Array.from({ length: to - from }, (_, index) => ({
    offset: from + index,
    data: from + index,
  }))
  return JSON.stringify({ type: 'records', firstOffset: from, nextOffset: to, lastHash, records })
}

export function closedMessage(nextOffset: number): string {
  return JSON.stringify({ type: 'closed', nextOffset })
}

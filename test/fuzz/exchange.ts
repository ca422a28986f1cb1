import { connect } from 'node:net'

/** What came back for the bytes of a request. */
export type Exchange = {
  /** `none`: the connection was closed without an answer; `late`: it was not, in time. */
  readonly status: number | 'none' | 'late'
  readonly type: string
  readonly body: string
}

/** Answers that go on until somebody leaves. */
const ENDLESS = /^HTTP\/1\.1 (101|200 OK\r\n[^]*content-type: text\/event-stream)/i

/**
 * Sends bytes as they are on a connection of their own, and waits until the server ends it.
 * @param isWhole the server ends the connection by itself; otherwise the client's end is closed
 */
export function exchange(
  url: string,
  bytes: Buffer,
  { isWhole, limitMs }: { readonly isWhole: boolean; readonly limitMs: number },
): Promise<Exchange> {
  const { port, hostname } = new URL(url)
  return new Promise(resolve => {
    const chunks: Buffer[] = []
    const socket = connect(Number(port), hostname, () => {
      if (isWhole) socket.write(bytes)
      else socket.end(bytes)
    })
    const finish = (isLate: boolean): void => {
      clearTimeout(limit)
      socket.destroy()
      resolve(isLate ? { status: 'late', type: '', body: '' } : parse(Buffer.concat(chunks)))
    }
    const limit = setTimeout(() => finish(true), limitMs)
    socket.on('data', chunk => {
      chunks.push(chunk)
      if (chunks.length === 1 && ENDLESS.test(chunk.toString('latin1'))) finish(false)
    })
    socket.on('error', () => undefined) // a reset: what came before it counts
    socket.on('close', () => finish(false))
  })
}

function parse(bytes: Buffer): Exchange {
  const text = bytes.toString('latin1').replace(/^(HTTP\/1\.1 100 Continue\r\n\r\n)+/, '')
  const end = text.indexOf('\r\n\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1])
  if (Number.isNaN(status) || end === -1) return { status: 'none', type: '', body: '' }
  const head = text.slice(0, end)
  const type = /^content-type: *([^\r;]*)/im.exec(head)?.[1] ?? ''
  const rest = text.slice(end + 4)
  const isChunked = /^transfer-encoding: *chunked/im.test(head)
  return { status, type, body: isChunked ? rest.replaceAll(/(^|\r\n)[0-9a-f]+\r\n/g, '') : rest }
}

/** Reads the answers of one connection as their bytes come. */
export type Replies = {
  /** True once the request is answered whole. @throws Error when the answer is a wrong one */
  push(bytes: Buffer): boolean
}

const HEAD_END = '\r\n\r\n'
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i
/** One in so many answers is parsed; of the others the status alone is checked. */
const SAMPLE_EVERY = 32

/** Status line and content-length, no more: the same little work for every HTTP contender. */
export class HttpReplies implements Replies {
  readonly #checkBody: ((body: string) => void) | undefined
  #pending = ''
  #answered = 0

  /** `checkBody` sees the first answer and then one in 32. */
  constructor(checkBody?: (body: string) => void) {
    this.#checkBody = checkBody
  }

  push(bytes: Buffer): boolean {
    const text = this.#pending + bytes.latin1Slice()
    const headEnd = text.indexOf(HEAD_END)
    if (headEnd === -1) {
      this.#pending = text
      return false
    }
    if (!text.startsWith('HTTP/1.1 200 ')) {
      const status = text.slice('HTTP/1.1 '.length, text.indexOf('\r\n'))
      throw new Error(`answered ${status}: ${text.slice(headEnd).trim().slice(0, 600)}`)
    }
    const bodyBytes = Number(CONTENT_LENGTH.exec(text)?.[1])
    if (Number.isNaN(bodyBytes)) throw new Error(`no content-length in ${text.slice(0, headEnd)}`)
    const bodyAt = headEnd + HEAD_END.length
    if (text.length < bodyAt + bodyBytes) {
      this.#pending = text
      return false
    }
    if (text.length > bodyAt + bodyBytes) throw new Error('more was answered than was asked')
    this.#pending = ''
    if (this.#answered % SAMPLE_EVERY === 0) this.#checkBody?.(text.slice(bodyAt))
    this.#answered += 1
    return true
  }
}

/** Bulk strings, the answers of XADD; anything else, an error above all, ends the run. */
export class RespReplies implements Replies {
  readonly #repliesPerRequest: number
  #pending = ''
  #answered = 0

  constructor(repliesPerRequest: number) {
    this.#repliesPerRequest = repliesPerRequest
  }

  push(bytes: Buffer): boolean {
    const text = this.#pending + bytes.latin1Slice()
    let start = 0
    while (start < text.length) {
      if (text.charAt(start) !== '$') throw new Error(`answered ${text.slice(start, start + 200)}`)
      const lineEnd = text.indexOf('\r\n', start)
      if (lineEnd === -1) break
      const end = lineEnd + 2 + Number(text.slice(start + 1, lineEnd)) + 2
      if (end > text.length) break
      this.#answered += 1
      start = end
    }
    this.#pending = text.slice(start)
    if (this.#answered < this.#repliesPerRequest) return false
    this.#answered = 0
    return true
  }
}

/** @throws Error unless `body` answers a durable append of `count` records in group mode */
export function checkAppend(body: string, count: number): void {
  const answer = JSON.parse(body) as Record<string, unknown>
  const isRight =
    answer['durable'] === true &&
    answer['durability'] === 'group' &&
    answer['duplicate'] === false &&
    answer['count'] === count &&
    answer['nextOffset'] === Number(answer['firstOffset']) + count
  if (!isRight) throw new Error(`answered ${body}`)
}

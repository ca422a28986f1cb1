import type { Client } from './client.ts'

const TICK_MS = 1

/** A connection and the request that it sends, which `onSend` may change. */
export type Sender = { readonly client: Client; readonly bytes: Buffer }

export type Pace = {
  readonly requestsPerSecond: number
  readonly isOver: (nowMs: number) => boolean
  /** @param dueMs when the request was to be sent, whenever a connection was free for it */
  readonly onSend?: (sender: Sender, dueMs: number) => void
  readonly onAnswer?: (dueMs: number, nowMs: number) => void
}

/**
 * Sends requests at a fixed rate, whatever the answers take: an open loop. A stall is felt by all
 * requests that were due in it. Resolves to the number of requests, once all are answered.
 */
export function sendPaced(senders: readonly Sender[], pace: Pace): Promise<number[]> {
  const idle = senders.map((sender, index) => ({ sender, index }))
  const answered = senders.map(() => 0)
  const due: number[] = []
  const startMs = performance.now()
  let [sent, finished, scheduled] = [0, 0, 0]
  return new Promise(resolve => {
    const sendDue = () => {
      while (due.length > 0 && idle.length > 0) {
        const free = idle.shift() as (typeof idle)[number]
        const dueMs = due.shift() as number
        pace.onSend?.(free.sender, dueMs)
        sent += 1
        free.sender.client.send(free.sender.bytes, nowMs => {
          finished += 1
          answered[free.index] = (answered[free.index] ?? 0) + 1
          pace.onAnswer?.(dueMs, nowMs)
          idle.push(free)
          sendDue()
        })
      }
    }
    const timer = setInterval(() => {
      const nowMs = performance.now()
      const isOver = pace.isOver(nowMs)
      const perMs = pace.requestsPerSecond / 1000
      const target = isOver ? 0 : Math.floor((nowMs - startMs) * perMs)
      // Due when the clock reached it, not when this timer woke up.
      for (; scheduled < target; scheduled += 1) due.push(startMs + (scheduled + 1) / perMs)
      sendDue()
      if (!isOver || due.length > 0 || finished < sent) return
      clearInterval(timer)
      resolve(answered)
    }, TICK_MS)
  })
}

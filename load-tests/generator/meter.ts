import { createHistogram } from 'node:perf_hooks'
import type { Measurement, Timing } from './jobs.ts'

const LATENCY_NS_MAX = 60e9
const NS_PER_MS = 1e6

/** Counts what began after the warm-up and ended before the end; keeps its latencies. */
export class Meter {
  readonly #histogram = createHistogram({ lowest: 1, highest: LATENCY_NS_MAX, figures: 3 })
  readonly #recordsMax: number
  readonly #fromMs: number
  readonly #untilMs: number
  #records = 0
  #firstMs = 0
  #lastMs = 0
  #cpuAtFirst: NodeJS.CpuUsage | undefined
  #cpuSinceFirst: NodeJS.CpuUsage | undefined

  /** The warm-up starts now. */
  constructor({ warmupMs, measureMs, recordsMax }: Timing) {
    this.#fromMs = performance.now() + warmupMs
    this.#untilMs = this.#fromMs + measureMs
    this.#recordsMax = recordsMax
  }

  /** Nothing new should begin. */
  isOver(nowMs: number): boolean {
    const over = nowMs >= this.#untilMs || this.#records >= this.#recordsMax
    if (over && this.#cpuAtFirst !== undefined) {
      this.#cpuSinceFirst ??= process.cpuUsage(this.#cpuAtFirst)
    }
    return over
  }

  record(sentMs: number, nowMs: number, records: number): void {
    if (sentMs < this.#fromMs || nowMs > this.#untilMs) return
    if (this.#cpuAtFirst === undefined) {
      this.#cpuAtFirst = process.cpuUsage()
      this.#firstMs = sentMs
    }
    this.#records += records
    this.#lastMs = nowMs
    this.#histogram.record(Math.max(1, Math.round((nowMs - sentMs) * NS_PER_MS)))
  }

  result(acknowledged: readonly number[] = []): Measurement {
    if (this.#records === 0) throw new Error('nothing was answered in the measured time')
    const elapsedMs = this.#lastMs - this.#firstMs
    const cpu = this.#cpuSinceFirst ?? { user: 0, system: 0 }
    const percentileMs = (percent: number) => this.#histogram.percentile(percent) / NS_PER_MS
    return {
      recordsPerSecond: (this.#records / elapsedMs) * 1000,
      latencyMs: { p50: percentileMs(50), p99: percentileMs(99), p999: percentileMs(99.9) },
      generatorLoad: (cpu.user + cpu.system) / 1000 / elapsedMs,
      acknowledged,
    }
  }
}

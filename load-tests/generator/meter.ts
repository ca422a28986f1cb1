import { createHistogram } from 'node:perf_hooks'
import { type Usage, UsageSample } from '../instruments/thread-usage.ts'
import type { Measurement, Timing } from './jobs.ts'

const LATENCY_NS_MAX = 60e9
const NS_PER_MS = 1e6

/** Counts what began after the warm-up and ended before the end; keeps its latencies. */
export class Meter {
  readonly #histogram = createHistogram({ lowest: 1, highest: LATENCY_NS_MAX, figures: 3 })
  readonly #recordsMax: number
  readonly #fromMs: number
  readonly #untilMs: number
  readonly #observed: Timing['observed']
  #records = 0
  #requests = 0
  #firstMs = 0
  #lastMs = 0
  #cpuAtFirst: NodeJS.CpuUsage | undefined
  #cpuSinceFirst: NodeJS.CpuUsage | undefined
  #usageAtFirst: UsageSample | undefined
  #usagePerRequest: Usage | undefined

  /** The warm-up starts now. */
  constructor({ warmupMs, measureMs, recordsMax, observed }: Timing) {
    this.#fromMs = performance.now() + warmupMs
    this.#untilMs = this.#fromMs + measureMs
    this.#recordsMax = recordsMax
    this.#observed = observed
  }

  /** Nothing new should begin. */
  isOver(nowMs: number): boolean {
    const over = nowMs >= this.#untilMs || this.#records >= this.#recordsMax
    if (over) this.#end()
    return over
  }

  #begin(): void {
    this.#cpuAtFirst = process.cpuUsage()
    this.#usageAtFirst = this.#observed && UsageSample.take(this.#observed)
  }

  #end(): void {
    if (this.#cpuAtFirst === undefined || this.#cpuSinceFirst !== undefined) return
    this.#cpuSinceFirst = process.cpuUsage(this.#cpuAtFirst)
    const [observed, before] = [this.#observed, this.#usageAtFirst]
    if (observed === undefined || before === undefined) return
    const usage = UsageSample.take(observed)?.since(before, observed)
    this.#usagePerRequest = usage && divide(usage, this.#requests)
  }

  record(sentMs: number, nowMs: number, records: number): void {
    if (sentMs < this.#fromMs || nowMs > this.#untilMs) return
    if (this.#cpuAtFirst === undefined) {
      this.#begin()
      this.#firstMs = sentMs
    }
    this.#records += records
    this.#requests += 1
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
      ...(this.#usagePerRequest === undefined ? {} : { usagePerRequest: this.#usagePerRequest }),
    }
  }
}

function divide({ micros, contextSwitches }: Usage, requests: number): Usage {
  const shares = Object.entries(micros).map(([role, time]) => [role, time / requests] as const)
  return { micros: Object.fromEntries(shares), contextSwitches: contextSwitches / requests }
}

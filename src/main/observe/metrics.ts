import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { ErrorCode, Outcome } from '../../shared/errors.ts'

/**
 * A value read when the metrics are asked for; several series when `label` names what tells them
 * apart.
 */
export type GaugeSource = {
  readonly name: string
  readonly help: string
  readonly label?: string
  readonly collect: () => Promise<readonly { readonly of?: string; readonly value: number }[]>
}

const APPEND_SECONDS = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]

/** Counts the answers of one route by status. */
export type RouteCounter = (status: number) => void

/** Every metric of the front end; the engine's come in as gauge sources. */
export class Metrics {
  readonly #registry = new Registry()
  // biome-ignore format: a table of metrics is read by column
  readonly #metrics = {
    appends:       this.#counter('varve_appends_total', 'Appends accepted', []),
    appendRecords: this.#counter('varve_append_records_total', 'Records appended', []),
    appendBytes:   this.#counter('varve_append_bytes_total', 'Bytes appended, as batch encoding', []),
    duplicates:    this.#counter('varve_append_duplicates_total', 'Appends answered again to their producer', []),
    trims:         this.#counter('varve_trims_total', 'Trims accepted', []),
    checkpoints:   this.#counter('varve_checkpoints_requested_total', 'Checkpoints that were asked for', []),
    reads:         this.#counter('varve_reads_total', 'Read pages served', []),
    readRecords:   this.#counter('varve_read_records_total', 'Records read', []),
    connectionCuts: this.#counter('varve_connections_cut_total', 'Connections cut off, by reason', ['reason']),
    readBytes:     this.#counter('varve_read_bytes_total', 'Bytes of read pages, as rendered', []),
    sessionPauses: this.#counter('varve_session_pauses_total', 'Times that a session was not read for a while', []),
  }
  readonly #appendSeconds = new Histogram({
    name: 'varve_append_seconds',
    help: 'From a whole request body to its answer',
    buckets: APPEND_SECONDS,
    registers: [this.#registry],
  })

  readonly #transactionSeconds = new Histogram({
    name: 'varve_transaction_seconds',
    help: 'From a whole request body to its answer, by what became of the transaction',
    labelNames: ['outcome'],
    buckets: APPEND_SECONDS,
    registers: [this.#registry],
  })

  readonly #onScrape: (() => void)[] = []

  readonly #sessionAppends = new Map<string, number>()

  /** Counted by hand: labels would be hashed for every request. */
  readonly #routes: { method: string; route: string; byStatus: Map<number, number> }[] = []

  constructor() {
    const counter = new Counter({
      name: 'varve_http_requests_total',
      help: 'Requests answered',
      labelNames: ['method', 'route', 'status'],
      registers: [this.#registry],
      collect: () => {
        counter.reset()
        for (const { method, route, byStatus } of this.#routes) {
          for (const [status, count] of byStatus) counter.inc({ method, route, status }, count)
        }
      },
    })
    const sessionAppends = new Counter({
      name: 'varve_session_appends_total',
      help: 'Appends answered on sessions, by `ok` or the code of what failed',
      labelNames: ['result'],
      registers: [this.#registry],
      collect: () => {
        sessionAppends.reset()
        for (const [result, count] of this.#sessionAppends) sessionAppends.inc({ result }, count)
      },
    })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /**
   * Adds numbers that others keep: the engine's, the hub's, the body budget's. One whose name ends
   * in `_total` is a counter, any other a gauge.
   */
  addGauge({ name, help, label, collect }: GaugeSource): void {
    const labelNames = label === undefined ? [] : [label]
    const registers = [this.#registry]
    const take = async (metric: Counter | Gauge) => {
      metric.reset()
      for (const { of, value } of await collect()) {
        if (label === undefined) metric.inc(value)
        else metric.inc({ [label]: of ?? '' }, value)
      }
    }
    const Kind = name.endsWith('_total') ? Counter : Gauge
    const metric: Counter | Gauge = new Kind({
      name,
      help,
      labelNames,
      registers,
      collect: () => take(metric),
    })
  }

  /** Returns a function that reads once for all metrics of one scrape. */
  oncePerScrape<Value>(read: () => Promise<Value>): () => Promise<Value> {
    let taken: Promise<Value> | undefined
    this.#onScrape.push(() => {
      taken = undefined
    })
    return () => {
      taken ??= read()
      return taken
    }
  }

  addRoute(method: string, route: string): RouteCounter {
    const byStatus = new Map<number, number>()
    this.#routes.push({ method, route, byStatus })
    return status => byStatus.set(status, (byStatus.get(status) ?? 0) + 1)
  }

  onAppend(records: number, bytes: number, milliseconds: number): void {
    this.#metrics.appends.inc()
    this.#metrics.appendRecords.inc(records)
    this.#metrics.appendBytes.inc(bytes)
    this.#appendSeconds.observe(milliseconds / 1000)
  }

  /** A producer's append that had been answered before. */
  onDuplicate(): void {
    this.#metrics.duplicates.inc()
  }

  onTransaction(outcome: 'committed' | Outcome, milliseconds: number): void {
    this.#transactionSeconds.observe({ outcome }, milliseconds / 1000)
  }

  onTrim(): void {
    this.#metrics.trims.inc()
  }

  onCheckpoint(): void {
    this.#metrics.checkpoints.inc()
  }

  onSessionAppend(result: 'ok' | ErrorCode): void {
    this.#sessionAppends.set(result, (this.#sessionAppends.get(result) ?? 0) + 1)
  }

  /** The socket of a session is left unread until there is room. */
  onSessionPause(): void {
    this.#metrics.sessionPauses.inc()
  }

  onRead(records: number, bytes: number): void {
    this.#metrics.reads.inc()
    this.#metrics.readRecords.inc(records)
    this.#metrics.readBytes.inc(bytes)
  }

  /** A connection was cut off. */
  onCut(reason: string): void {
    this.#metrics.connectionCuts.inc({ reason })
  }

  render(): Promise<string> {
    for (const forget of this.#onScrape) forget()
    return this.#registry.metrics()
  }

  #counter(name: string, help: string, labelNames: string[]): Counter {
    return new Counter({ name, help, labelNames, registers: [this.#registry] })
  }
}

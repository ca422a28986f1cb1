import { SingleBar } from 'cli-progress'
import type { Output } from './context.ts'

/** Shows how far a command has come, where `output` is a terminal; otherwise nothing. */
export class Progress {
  readonly #bar: SingleBar | undefined

  /** @param total bytes, undefined where they are not known beforehand */
  constructor(output: Output, total: number | undefined) {
    if (output.isTTY !== true) return
    const format = total === undefined ? ' {text}' : ' {bar} {percentage}%  {text}'
    this.#bar = new SingleBar({
      format,
      stream: output,
      hideCursor: true,
      clearOnComplete: true,
      barCompleteChar: '█',
      barIncompleteChar: '░',
      barsize: 30,
    })
    this.#bar.start(total ?? 0, 0, { text: '' })
  }

  update(doneBytes: number, text: string): void {
    this.#bar?.update(doneBytes, { text })
  }

  /** The total is known now, or has changed. */
  setTotal(total: number): void {
    this.#bar?.setTotal(total)
  }

  /** Takes the bar away, so that what follows has the line for itself. */
  close(): void {
    this.#bar?.stop()
  }
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const

/** For people: three digits or so, powers of 1000. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`
}

/** For people: `1,234,567`. */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US')
}

/** `1 record`, `2 records`. */
export function countOf(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`
}

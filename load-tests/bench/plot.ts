import { ROWS } from './points.ts'
import type { Summary } from './summary.ts'

// Throughput over connections, both axes logarithmic: a line a row, spread as whiskers.

const AREA = { left: 90, top: 50, width: 520, height: 380 } as const
const LEGEND_WIDTH = 300
const COLOURS = ['#888888', '#c0392b', '#1f5fbf', '#2a9d8f', '#e67e22', '#6a4c93', '#8d6e63']
const TICK_DIGITS = [1, 2, 5]

type Series = { readonly title: string; readonly colour: string; readonly points: Summary[] }
type Scale = (value: number) => number

/** An SVG document, or undefined when no plotted row was measured. */
export function renderPlot(summaries: readonly Summary[], caption: string): string | undefined {
  const all = collectSeries(summaries)
  const points = all.flatMap(series => series.points)
  if (points.length === 0) return undefined
  const rates = points.map(ratesOf)
  const [low, high] = [Math.min(...rates.map(({ min }) => min)), maxOf(rates)]
  const connections = [...new Set(points.map(point => point.connections))].sort((a, b) => a - b)
  const x = logScale(1, Math.max(2, ...connections), AREA.left, AREA.left + AREA.width)
  const y = logScale(low * 0.8, high * 1.2, AREA.top + AREA.height, AREA.top)
  const [width, height] = [AREA.left + AREA.width + LEGEND_WIDTH, AREA.top + AREA.height + 60]
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" ` +
      `font-family="sans-serif" font-size="13">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(AREA.left, 22, 'Records a second over connections, 128 B, durable', 'start', 16),
    text(AREA.left, 40, caption, 'start', 11),
    ...connections.map(value => axisTick(x(value), value)),
    text(AREA.left + AREA.width / 2, height - 14, 'connections', 'middle'),
    ...ticks(low * 0.8, high * 1.2).map(value => gridLine(y(value), value)),
    ...all.flatMap((series, index) => drawSeries(series, x, y, index)),
    '</svg>\n',
  ].join('\n')
}

function collectSeries(summaries: readonly Summary[]): Series[] {
  return ROWS.filter(row => row.isPlotted).flatMap((row, index) => {
    const points = summaries.filter(
      ({ name, recordsPerSecond }) => name === row.name && recordsPerSecond !== undefined,
    )
    const colour = COLOURS[index % COLOURS.length] ?? '#000000'
    return points.length === 0 ? [] : [{ title: row.title, colour, points }]
  })
}

function drawSeries(
  { title, colour, points }: Series,
  x: Scale,
  y: Scale,
  index: number,
): string[] {
  const at = points.map(point => {
    const { median, min, max } = ratesOf(point)
    return { x: round(x(point.connections)), y: round(y(median)), low: y(min), high: y(max) }
  })
  const line = at.map(point => `${point.x},${point.y}`).join(' ')
  const legendX = AREA.left + AREA.width + 20
  const legendY = AREA.top + 10 + index * 22
  return [
    `<polyline points="${line}" fill="none" stroke="${colour}" stroke-width="2"/>`,
    ...at.map(
      point =>
        `<path d="M${point.x} ${round(point.low)}V${round(point.high)}" stroke="${colour}"/>` +
        `<circle cx="${point.x}" cy="${point.y}" r="4" fill="${colour}"/>`,
    ),
    `<rect x="${legendX}" y="${legendY - 9}" width="12" height="12" fill="${colour}"/>`,
    text(legendX + 18, legendY + 2, title, 'start'),
  ]
}

function axisTick(x: number, value: number): string {
  const bottom = AREA.top + AREA.height
  const line = `<path d="M${round(x)} ${AREA.top}V${bottom}" stroke="#eeeeee"/>`
  return line + text(round(x), bottom + 20, String(value), 'middle')
}

function gridLine(y: number, value: number): string {
  const right = AREA.left + AREA.width
  const line = `<path d="M${AREA.left} ${round(y)}H${right}" stroke="#dddddd"/>`
  return line + text(AREA.left - 8, round(y + 4), value.toLocaleString('en-US'), 'end')
}

/** 1, 2 and 5 of every decade in the range. */
function ticks(low: number, high: number): number[] {
  const decades = Array.from({ length: 10 }, (_, exponent) => 10 ** exponent)
  return decades
    .flatMap(decade => TICK_DIGITS.map(digit => digit * decade))
    .filter(value => value >= low && value <= high)
}

function logScale(low: number, high: number, start: number, end: number): Scale {
  const span = Math.log(high / low)
  return value => start + (Math.log(value / low) / span) * (end - start)
}

function ratesOf({ recordsPerSecond }: Summary): { median: number; min: number; max: number } {
  return recordsPerSecond ?? { median: 1, min: 1, max: 1 }
}

function maxOf(rates: readonly { max: number }[]): number {
  return Math.max(...rates.map(({ max }) => max))
}

function text(x: number, y: number, content: string, anchor: string, size = 13): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" font-size="${size}">${escaped}</text>`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

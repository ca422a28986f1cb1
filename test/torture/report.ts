import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { type Made, renderMarkdown, type Row } from './table.ts'

/** Everything from this line on is written by a run; what stands before it is written by hand. */
const MARK = '## Last run'

/** Writes the table of a run into `path`, below its introduction. */
export function writeReport(path: string, rows: readonly Row[], made: Made): void {
  const before = existsSync(path) ? readFileSync(path, 'utf8').split(`${MARK}\n`)[0] : ''
  writeFileSync(path, `${before}${MARK}\n\n${renderMarkdown(rows, made)}\n`)
}

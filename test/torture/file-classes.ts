import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { directoryOf } from './tamper/store.ts'

// strace tells files apart by their exact paths, those to come included.

/** Segments and journal files that a short load may still make. */
const NEXT_FILES = 24

export type FileClass =
  | 'journal files'
  | 'newest.json'
  | 'catalogue'
  | 'shard directory'
  | 'segments'
  | 'indexes'
  | 'manifest'
  | 'stream directory'
  | 'anything'

/** Paths of a class in a store: of shard 0, and of one stream in it. */
export function pathsOf(kind: FileClass, data: string, stream: string): string[] {
  const shard = join(data, 'journals/shard-00')
  const directory = join(data, directoryOf(data, stream))
  switch (kind) {
    case 'journal files':
      return [...numbered(shard, '.wal', 12), ...numbered(shard, '.spare', 12)].concat(
        ...['prepared.tmp', 'next.tmp'].map(name => join(shard, name)),
      )
    case 'newest.json':
      return withTemporary(join(shard, 'newest.json')).concat(
        withTemporary(join(data, 'journals/copies/shard-00.newest.json')),
      )
    case 'catalogue':
      return withTemporary(join(shard, 'catalogue'))
    case 'shard directory':
      return [shard]
    case 'segments':
      return numbered(directory, '.log', 6, 'segment_')
    case 'indexes':
      return numbered(directory, '.idx', 6, 'segment_')
    case 'manifest':
      return withTemporary(join(directory, 'manifest.json'))
    case 'stream directory':
      return [directory]
    case 'anything':
      return []
    default:
      throw new Error(`no such class of files: ${String(kind)}`)
  }
}

/** Files that are there, by number, and those that come next. */
function numbered(directory: string, end: string, digits: number, prefix = ''): string[] {
  const numbers = readdirSync(directory)
    .filter(name => name.startsWith(prefix) && /^\d+\./.test(name.slice(prefix.length)))
    .map(name => Number.parseInt(name.slice(prefix.length), 10))
  const first = Math.min(...numbers)
  const last = Math.max(...numbers) + NEXT_FILES
  return Array.from({ length: last - first + 1 }, (_, at) =>
    join(directory, `${prefix}${String(first + at).padStart(digits, '0')}${end}`),
  )
}

function withTemporary(path: string): string[] {
  return [path, `${path}.tmp`]
}

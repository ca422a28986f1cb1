import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type BaseStores, directoryOf, journalsOf, segmentsOf, STREAMS, VICTIM } from './store.ts'
import { HOLE, REWRITE, type Tampering, TAMPERINGS, type Target } from './tampering.ts'

/**
 * Who may suffer when a file is damaged: nobody where it can be made again, the one stream, the
 * shard whose journal it is, every stream of the store, or the service, which may refuse to start
 * by name.
 */
type Scope = 'nobody' | 'stream' | 'shard' | 'store' | 'service'
type Variant = 'killed' | 'stopped'

type TargetKind = {
  readonly name: string
  readonly scope: Scope
  /** Beside those that fit any file. */
  readonly more?: readonly Tampering[]
  /** Where it is, and its twin; undefined where the store has none. */
  readonly find: (data: string) => Found
}

const NEIGHBOUR = STREAMS[1] as string

// biome-ignore format: a table of targets is read by column
const TARGETS: readonly TargetKind[] = [
  { name: 'oldest journal file', scope: 'shard',   find: data => journals(data, 0), more: [HOLE] },
  { name: 'middle journal file', scope: 'shard',   find: data => journals(data, 1), more: [HOLE] },
  { name: 'newest journal file', scope: 'shard',   find: data => journals(data, -1), more: [HOLE] },
  { name: 'shard directory',     scope: 'shard',   find: () => ['journals/shard-00', 'journals/shard-01'] },
  { name: 'newest.json',         scope: 'nobody',  find: () => inShard('newest.json') },
  { name: 'catalogue',           scope: 'nobody',  find: () => inShard('catalogue') },
  { name: 'copy of newest.json', scope: 'nobody',  find: () => inCopies('newest.json') },
  { name: 'copy of catalogue',   scope: 'nobody',  find: () => inCopies('catalogue') },
  { name: 'directory of copies', scope: 'nobody',  find: () => ['journals/copies'] },
  { name: 'spare journal file',  scope: 'nobody',  find: data => spares(data) },
  { name: 'all journals',        scope: 'service', find: () => ['journals'] },
  { name: 'all keys',            scope: 'service', find: () => ['keys'] },
  { name: 'lock file',           scope: 'service', find: () => ['lock'] },
  { name: 'varve.json',          scope: 'nobody',  find: () => ['varve.json'] },
  { name: 'copy of varve.json',  scope: 'nobody',  find: () => ['varve.copy.json'] },
  { name: 'signing key',         scope: 'service', find: () => ['keys/signing.pem'] },
  { name: 'public key',          scope: 'service', find: data => [publicKey(data)] },
  { name: 'sealed segment',      scope: 'stream',  find: data => segments(data, 1), more: [REWRITE] },
  { name: 'active segment',      scope: 'stream',  find: data => segments(data, -1), more: [REWRITE] },
  { name: 'sealed index',        scope: 'nobody',  find: data => indexes(data, 1) },
  { name: 'active index',        scope: 'nobody',  find: data => indexes(data, -1) },
  { name: 'manifest',            scope: 'stream',  find: data => inStream(data, 'manifest.json') },
  { name: 'stream directory',    scope: 'stream',  find: data => inStream(data, '') },
  { name: 'parent of a stream',  scope: 'stream',  find: data => parentsOfStreams(data) },
  { name: 'all streams',         scope: 'store',   find: () => ['streams'] },
]

/**
 * What no evidence in the store can tell from a store that never held more, and a spare file that
 * is a link to another shard's: both shards would write to it.
 */
const NOT_PROMISED: readonly (readonly [target: string, tampering: string, variant?: Variant])[] = [
  ['newest journal file', 'tail zeroed', 'killed'],
  ['newest journal file', 'emptied', 'stopped'],
  ['spare journal file', 'a symlink to another'],
]
/** Directories of more than one stream. */
const SHARED = ['shard directory', 'directory of copies', 'all journals', 'all keys', 'all streams']
/** A directory whose disk is not mounted: nothing may be created in its place. */
const AWAY = ['a symlink to nowhere', 'no permissions']

/** Variants that say most of a kind; a long run takes both of each. */
const VARIANT_OF: Readonly<Record<Scope, Variant>> = {
  nobody: 'stopped',
  stream: 'stopped',
  shard: 'killed',
  store: 'killed',
  service: 'killed',
}

export type TamperCase = {
  readonly kind: TargetKind
  readonly tampering: Tampering
  readonly variant: Variant
  /** Whether what is needed by more than one stream is out of reach, and may be refused by name. */
  readonly isAway: boolean
  /** Whether a repair cannot reach what was tampered with either; it says so. */
  readonly isOutOfReach: boolean
}

export function tamperCases(isLong: boolean): TamperCase[] {
  return TARGETS.flatMap(kind =>
    [...TAMPERINGS, ...(kind.more ?? [])].flatMap(tampering => {
      const variants: Variant[] = isLong ? ['killed', 'stopped'] : [VARIANT_OF[kind.scope]]
      return variants
        .filter(variant => isPromised(kind.name, tampering.name, variant))
        .map(variant => {
          const isOutOfReach = AWAY.includes(tampering.name)
          const isAway = isOutOfReach && SHARED.includes(kind.name)
          return { kind, tampering, variant, isAway, isOutOfReach }
        })
    }),
  )
}

/** Damages the store in `data`; false when the tampering does not apply to what is there. */
export function tamper(data: string, { kind, tampering }: TamperCase, stores: BaseStores): boolean {
  const [path, twin] = kind.find(data)
  if (path === undefined || !existsSync(join(data, path))) return false
  const hasTwin = twin !== undefined && existsSync(join(data, twin))
  const target: Target = { data, path, twin: hasTwin ? twin : undefined, early: stores.early }
  return tampering.apply(target)
}

function isPromised(target: string, tampering: string, variant: Variant): boolean {
  return !NOT_PROMISED.some(
    row => row[0] === target && row[1] === tampering && (row[2] ?? variant) === variant,
  )
}

type Found = readonly [path: string | undefined, twin?: string | undefined]

function journals(data: string, at: number): Found {
  const files = [0, 1].map(shard => journalsOf(data, shard))
  // A middle one is none of the two ends.
  const [path, twin] = files.map(names => (at === 1 && names.length < 3 ? undefined : names.at(at)))
  return [path, twin]
}

function inShard(name: string): readonly [string, string] {
  return [`journals/shard-00/${name}`, `journals/shard-01/${name}`]
}

function inCopies(name: string): readonly [string, string] {
  return [`journals/copies/shard-00.${name}`, `journals/copies/shard-01.${name}`]
}

function spares(data: string): Found {
  const [path, twin] = [0, 1].map(shard => {
    const directory = `journals/shard-0${shard}`
    const name = readdirSync(join(data, directory)).find(one => one.endsWith('.spare'))
    return name === undefined ? undefined : join(directory, name)
  })
  return [path, twin]
}

function segments(data: string, at: number): Found {
  return [segmentsOf(data, VICTIM).at(at), segmentsOf(data, NEIGHBOUR).at(at)]
}

function indexes(data: string, at: number): Found {
  const [path, twin] = segments(data, at)
  return [path?.replace('.log', '.idx'), twin?.replace('.log', '.idx')]
}

function inStream(data: string, name: string): readonly [string, string] {
  return [join(directoryOf(data, VICTIM), name), join(directoryOf(data, NEIGHBOUR), name)]
}

/** Stream ids are drawn, so by chance a parent has other streams too; then there is none. */
function parentsOfStreams(data: string): Found {
  const [path, twin] = inStream(data, '')
    .map(directory => dirname(directory))
    .map(parent => (readdirSync(join(data, parent)).length === 1 ? parent : undefined))
  return [path, twin]
}

function publicKey(data: string): string | undefined {
  const found = readdirSync(join(data, 'keys')).find(name => name.endsWith('.pub'))
  return found === undefined ? undefined : `keys/${found}`
}

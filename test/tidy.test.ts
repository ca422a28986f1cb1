import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { posix, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

type House = 'src' | 'test' | 'load-tests' | 'k6'
type Source = {
  /** From the project's root, with slashes. */
  readonly path: string
  readonly text: string
  /** Without comments; strings stay, because imports are strings. */
  readonly code: string
  /** Without comments and plain strings; templates stay, because they hold code. */
  readonly bare: string
}
type Rule = {
  readonly name: string
  readonly houses: readonly House[]
  /** What breaks the rule in one file: nothing when the file keeps it. */
  readonly breaches: (source: Source) => readonly string[]
  /** A rule that finds nothing proves nothing: so a file that keeps it, and files that break it. */
  readonly kept: readonly [path: string, text: string]
  readonly broken: readonly (readonly [path: string, text: string])[]
}

const LINES_MAX = 400
const COLUMNS_MAX = 100
/** Tables that Biome leaves alone and drawings: read by column, so not wrapped. */
const TABLE_COLUMNS_MAX = 120
const TYPESCRIPT: readonly House[] = ['src', 'test', 'load-tests']
/** Put together, or this file would break its own rule. */
const UNFINISHED = new RegExp(['\\bTO', 'DO\\b|\\bFIX', 'ME\\b'].join(''))

/** Folder → what its files may import; what ends in / or : is a prefix. The first match decides. */
const MAY_IMPORT: readonly (readonly [folder: string, targets: string])[] = [
  // A pure function like node:zlib's, but Node has no LZ4: bytes in, bytes out, in any thread.
  ['src/shared/format/compression.ts', 'src/shared/ node:crypto node:zlib node:buffer lz4-napi'],
  ['src/shared/schemas/', 'src/shared/ node:crypto node:zlib node:buffer zod'],
  ['src/shared/', 'src/shared/ node:crypto node:zlib node:buffer'],
  // Only to say what of an answer moves to the other thread.
  ['src/workers/reader.ts', 'src/workers/ src/shared/ node: piscina'],
  ['src/workers/', 'src/workers/ src/shared/ node:'],
  // A lock that the kernel frees: Node has none.
  ['src/main/directory-lock.ts', 'src/main/ src/shared/ node: fs-native-extensions'],
  [
    'src/main/',
    'src/main/ src/shared/ node: fastify @fastify/ fastify-type-provider-zod piscina pino ' +
      'pino-pretty prom-client commander cli-progress ws zod',
  ],
]

/** What only the files behind a door may do; `path` is a file, or a folder with its slash. */
const DOORS: readonly { power: RegExp; within?: RegExp; path: readonly string[] }[] = [
  { power: /\bprocess\??\.(env|exit)\b/, path: ['src/main/index.ts'] },
  { power: /\b(env|exit)\b[^{}=]*\} = process\b/, path: ['src/main/index.ts'] },
  { power: /\bAtomics\.wait(Async)?\b/, path: ['src/shared/memory/'] },
  { power: /\bconsole\b\.?/, path: ['src/main/cli/'] },
  {
    power: /\b(Date\.now|performance\.now|process\.hrtime|Math\.random)\b|\bnew Date\(\)/,
    within: /^src\/(workers|shared)\//,
    path: ['src/workers/environment.ts'],
  },
  {
    // Asking an environment that was given is the way; a door of one's own is not.
    power: /(?<![eE]nvironment\.)\b(random(Bytes|UUID|Int|Fill(Sync)?)|getRandomValues)\b/,
    within: /^src\/(workers|shared)\//,
    path: ['src/workers/environment.ts'],
  },
]
/** Modules that are a door themselves. */
const MODULE_DOORS: readonly (readonly [module: RegExp, path: readonly string[]])[] = [
  [
    /^(node:)?fs(\/promises)?$/,
    ['src/workers/disk/node-disk.ts', 'src/main/files.ts', 'src/main/directory-lock.ts'],
  ],
  [/^(node:)?process$/, ['src/main/index.ts']],
  // The service spawns nothing: no program may decide durability or exclusion.
  [/^(node:)?(child_process|cluster)$/, []],
]

const RULES: readonly Rule[] = [
  {
    name: 'a file fits the page',
    houses: ['src', 'test', 'load-tests', 'k6'],
    breaches: ({ text }) => {
      const lines = text.trimEnd().split('\n').length
      return [...(lines > LINES_MAX ? [`${lines} lines`] : []), ...longLines(text)]
    },
    kept: ['src/shared/a.ts', 'x\n'.repeat(LINES_MAX)],
    broken: [
      ['src/shared/a.ts', 'x\n'.repeat(LINES_MAX + 1)],
      ['src/shared/a.ts', 'x'.repeat(COLUMNS_MAX + 1)],
      ['src/shared/a.ts', `// biome-ignore format: a table\n${'x'.repeat(TABLE_COLUMNS_MAX + 1)}`],
      ['src/shared/a.ts', `// biome-ignore format: a table\n}\n${'x'.repeat(COLUMNS_MAX + 1)}`],
    ],
  },
  {
    name: 'a file is named in kebab-case, and none is a barrel',
    houses: TYPESCRIPT,
    breaches: ({ path }) => {
      const file = posix.basename(path)
      const kebab = /^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.ts$/.test(file)
      const barrel = file === 'index.ts' && path !== 'src/main/index.ts'
      return kebab && !barrel ? [] : [file]
    },
    kept: ['src/workers/journal/log-buffer.ts', ''],
    broken: [
      ['src/workers/logBuffer.ts', ''],
      ['src/workers/index.ts', ''],
    ],
  },
  {
    name: 'a file imports only what its folder may',
    houses: ['src'],
    breaches: source => {
      const targets =
        MAY_IMPORT.find(([folder]) => source.path.startsWith(folder))?.[1].split(' ') ?? []
      return imports(source).filter(target => !targets.some(allowed => covers(allowed, target)))
    },
    kept: [
      'src/main/tail/hub.ts',
      "import type {\n  A,\n} from '../../shared/a.ts'\nimport fastify from 'fastify'\nBuffer.from('zod')\n",
    ],
    broken: [
      ['src/main/tail/hub.ts', "import type { A } from '../../workers/a.ts'"],
      ['src/main/tail/hub.ts', "type A = import('../../workers/a.ts').A"],
      ['src/main/tail/hub.ts', "import { fast } from 'fastify-other'"],
      ['src/main/tail/hub.ts', 'const hub = await import(path)'],
      ['src/workers/shard.ts', "import { a } from '../main/a.ts'"],
      ['src/workers/shard.ts', "import { z } from 'zod'"],
      ['src/shared/errors.ts', "import { z } from 'zod'"],
      ['src/shared/errors.ts', "export { join } from 'node:path'"],
      ['src/shared/errors.ts', "import '../workers/shard.ts'"],
      ['src/other/a.ts', "import { a } from '../shared/a.ts'"],
    ],
  },
  {
    name: 'a power is used behind its door only',
    houses: ['src'],
    breaches: source => [
      ...imports(source).filter(target =>
        MODULE_DOORS.some(([module, path]) => module.test(target) && !isBehind(source, path)),
      ),
      ...DOORS.filter(
        ({ within, path }) => within?.test(source.path) !== false && !isBehind(source, path),
      ).flatMap(({ power }) => power.exec(source.bare)?.[0] ?? []),
    ],
    kept: [
      'src/workers/shard.ts',
      "// process.env\nconst text = 'Date.now()'\nconst id = this.#environment.randomBytes(16)\n",
    ],
    broken: [
      ['src/workers/shard.ts', "import { open } from 'node:fs/promises'"],
      ['src/main/service.ts', "import { env } from 'node:process'"],
      ['src/main/service.ts', "import { spawnSync } from 'node:child_process'"],
      ['src/main/service.ts', 'const home = process.env.HOME'],
      ['src/main/service.ts', 'const { env } = process'],
      ['src/workers/shard.ts', 'process.exit(1)'],
      ['src/workers/flusher.ts', 'Atomics.wait(words, 0, 0)'],
      ['src/workers/flusher.ts', 'Atomics.waitAsync(words, 0, 0)'],
      ['src/main/service.ts', 'console.log(1)'],
      ['src/workers/shard.ts', 'const nowMs = Date.now()'],
      ['src/shared/a.ts', 'const now = new Date()'],
      ['src/shared/a.ts', "import { randomBytes } from 'node:crypto'"],
      ['src/workers/shard.ts', 'const text = `at ${performance.now()}`'],
    ],
  },
  {
    name: 'only a worker entry has a default export',
    houses: TYPESCRIPT,
    breaches: ({ path, bare }) =>
      /^src\/workers\/[^/]+\.ts$/.test(path)
        ? []
        : found(bare, /\bexport default\b|\bas default\b/),
    kept: ['src/workers/shard.ts', 'export default 1'],
    broken: [
      ['src/workers/journal/a.ts', 'export default 1'],
      ['src/main/a.ts', 'export { a as default }'],
    ],
  },
  {
    name: 'no enum, namespace, private keyword or re-export of all',
    houses: TYPESCRIPT,
    breaches: ({ bare }) => [
      ...found(bare, /^\s*(export |declare |const )*enum \w+/m),
      ...found(bare, /^\s*(export |declare )*namespace \w+/m),
      ...found(bare, /^\s*(private|protected)\s+(?!constructor\b)\w+/m),
      ...found(bare, /^\s*export (type )?\*/m),
    ],
    kept: ['src/main/a.ts', "declare module 'fastify' {}\nclass A { #enum = 1 }\n// enum A {}\n"],
    broken: [
      ['src/main/a.ts', 'export const enum A { B }'],
      ['src/main/a.ts', 'namespace A {}'],
      ['src/main/a.ts', 'class A {\n  private readonly b = 1\n}'],
      ['src/main/a.ts', "export * from './b.ts'"],
      ['src/main/a.ts', "export * as b from './b.ts'"],
    ],
  },
  {
    name: 'nothing is marked as unfinished',
    houses: ['src', 'test', 'load-tests', 'k6'],
    breaches: ({ text }) => found(text, UNFINISHED),
    kept: ['src/main/a.ts', '// what is to do'],
    broken: [['src/main/a.ts', `// ${'todo'.toUpperCase()}: later`]],
  },
  {
    name: 'every suite is a constant, is run, whole, and has no hooks',
    houses: ['test'],
    breaches: suiteBreaches,
    kept: ['test/a.test.ts', "const a = suite('a')\na('holds', () => {})\na.run()\n"],
    broken: [
      ['test/a.test.ts', ''],
      ['test/a.test.ts', "const a = suite('a')\na('holds', () => {})\n"],
      ['test/a.test.ts', "const a = suite('a')\n// a.run()\n"],
      ['test/a.test.ts', "const a = suite('a')\nif (fast) {\n  a.run()\n}\n"],
      ['test/a.test.ts', "const a = suite('a')\na.before(() => {})\na.run()\n"],
      ['test/a.test.ts', "const a = suite('a')\na.after.each(() => {})\na.run()\n"],
      ['test/a.test.ts', "const a = suite('a')\na.only('holds', () => {})\na.run()\n"],
      ['test/a.test.ts', "const a = suite('a')\na.run()\nmake(suite('b'))\n"],
      ['test/a.test.ts', "import { test } from 'uvu'\nconst a = suite('a')\na.run()\n"],
      ['test/support/a.ts', "const a = suite('a')\na.run()\n"],
    ],
  },
  {
    name: 'a test says what is, not what ought to be',
    houses: ['test'],
    breaches: ({ path, code }) =>
      path.endsWith('.test.ts') ? found(code, /^\s*\w+\(\s*['"`][^'"`\n]*\bshould\b/m) : [],
    kept: ['test/a.test.ts', "a('zeroed space is not a record', () => {})\n"],
    broken: [['test/a.test.ts', "a('it should work', () => {})\n"]],
  },
]

function longLines(text: string): string[] {
  let inTable = false
  return text.split('\n').flatMap((line, index) => {
    // A table ends where its bracket closes at the margin.
    inTable = line.includes('// biome-ignore format') || (inTable && !/^[\])}]/.test(line))
    const columnsMax = inTable || /[─-╿]/.test(line) ? TABLE_COLUMNS_MAX : COLUMNS_MAX
    return line.length > columnsMax ? [`line ${index + 1} has ${line.length} columns`] : []
  })
}

function suiteBreaches({ path, code, bare }: Source): string[] {
  const made = bare.match(/\bsuite\(/g)?.length ?? 0
  if (!path.endsWith('.test.ts')) return made > 0 ? ['a suite outside a test file'] : []
  const names = [...bare.matchAll(/^const (\w+) = suite\(/gm)].map(([, name = '']) => name)
  return [
    ...(names.length === 0 ? ['no suite'] : []),
    ...(names.length === made ? [] : ['a suite that is no constant of the file']),
    ...names.filter(name => !new RegExp(`^${name}\\.run\\(\\)$`, 'm').test(bare)),
    ...names.flatMap(name => found(bare, new RegExp(`\\b${name}\\.(only|before|after)\\b`))),
    ...found(code, /^import (?!\{ suite \} ).*'uvu'$/m),
  ]
}

/** What `source` imports in any way, types too: files from the root, packages by name. */
function imports({ path, code }: Source): string[] {
  const named = code.matchAll(
    /\b(?:from\s+|import\s+|import\s*\(\s*|require\s*\(\s*)(['"])([^'"\n]+)\1/g,
  )
  // A computed import could reach anywhere.
  const computed = found(code, /\b(?:import|require)\(\s*[^'"\s].*/)
  const targets = [...named].map(([, , target = '']) =>
    target.startsWith('.') ? posix.join(posix.dirname(path), target) : target,
  )
  return [...targets, ...computed]
}

function covers(allowed: string, target: string): boolean {
  return /[/:]$/.test(allowed) ? target.startsWith(allowed) : target === allowed
}

function isBehind({ path }: Source, doors: readonly string[]): boolean {
  return doors.some(door => covers(door, path))
}

function found(text: string, pattern: RegExp): string[] {
  const match = pattern.exec(text)
  return match === null ? [] : [match[0].trim()]
}

function sourceOf(path: string, text: string): Source {
  // Strings are matched so that a // within one starts no comment.
  const tokens = /\/\*[\s\S]*?\*\/|\/\/.*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/g
  const code = text.replaceAll(tokens, token => (token.startsWith('/') ? '' : token))
  const bare = text.replaceAll(tokens, token => (token.startsWith('/') ? '' : "''"))
  return { path, text, code, bare }
}

function sourcesOf(house: House): Source[] {
  const root = resolve(import.meta.dirname, '../..')
  if (!existsSync(resolve(root, house))) return []
  return readdirSync(resolve(root, house), { recursive: true, encoding: 'utf8' })
    .map(name => posix.join(house, name.replaceAll('\\', '/')))
    .filter(path => /\.(ts|js)$/.test(path) && !path.startsWith('test/golden/'))
    .map(path => sourceOf(path, readFileSync(resolve(root, path), 'utf8')))
}

const tidy = suite('tidy')

for (const { name, houses, breaches, kept, broken } of RULES) {
  tidy(name, () => {
    const all = houses
      .flatMap(sourcesOf)
      .flatMap(source => breaches(source).map(breach => `${source.path}: ${breach}`))
    assert.equal(all, [])
  })

  tidy(`${name}: a breach is seen`, () => {
    assert.equal(breaches(sourceOf(...kept)), [])
    for (const [path, text] of broken) {
      assert.ok(breaches(sourceOf(path, text)).length > 0, `unseen in ${path}: ${text}`)
    }
  })
}

tidy('the house is not empty', () => {
  assert.ok(sourcesOf('src').length > 0)
})

tidy.run()

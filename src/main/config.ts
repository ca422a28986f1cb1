import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { z } from 'zod'
import {
  BATCH_RECORDS_MAX,
  CHECKPOINT_EVERY_DEFAULT,
  CHECKPOINT_EVERY_MAX,
  DIRECT_BYTES,
  HEADERS_BYTES_MAX,
  HEADERS_MAX,
  JOURNAL_BYTES_MAX,
  JOURNAL_FILE_BYTES,
  KIB,
  MIB,
  PAGE_BYTES,
  PRODUCER_EXPIRY_SECONDS,
  RECORD_BYTES_BOUND,
  RECORD_BYTES_MAX,
  RELAXED_FLUSH_MS,
  REQUEST_BYTES_MAX,
  RETENTION_AGE_SECONDS_MAX,
  SEGMENT_BYTES_DEFAULT,
  SEGMENT_BYTES_MAX,
  SEGMENT_BYTES_MIN,
  SESSION_IN_FLIGHT_MAX,
  SESSIONS_MAX,
  SLOT_BYTES,
  STREAM_CONFIG_DEFAULT,
  TRANSACTION_TIMEOUT_MS,
} from '../shared/limits.ts'
import { compressionOffered } from '../shared/format/compression.ts'
import { Compression, Durability } from '../shared/schemas/scalars.ts'
import { formatSize, readSize } from './size.ts'

// Every option once: unit, bounds, default, one sentence. The flags of `varve serve`, the VARVE_*
// variables and the keys of the config file are derived from these schemas. Pure: flags, variables
// and the file's content are arguments.
//
// Sizes are bytes, or text with a unit: 64KiB, 1.5MiB (powers of 1024), 500KB, 1GB (powers of
// 1000). Durations are milliseconds, without a unit.

const GIB = 1024 * MIB
const DAY_MS = 86_400_000

/** How an option is written where it is documented. */
type Form = { readonly placeholder: string; readonly bounds: string }
const forms = z.registry<Form>()

const text = z.string().min(1, 'expected text').register(forms, { placeholder: 'text', bounds: '' })

const choice = <const Names extends readonly string[]>(names: Names) => {
  const bounds = names.join(', ')
  return z.enum(names, `expected one of ${bounds}`).register(forms, { placeholder: 'name', bounds })
}

const flag = z
  .union([z.boolean(), z.stringbool()], 'expected true or false')
  .register(forms, { placeholder: '', bounds: '' })

/** A list in the file; separated by commas elsewhere. */
const list = z
  .union([z.array(z.string()), z.string()], 'expected a list')
  .transform(value => (typeof value === 'string' ? value.split(',') : value))
  .transform(items => items.map(item => item.trim()).filter(item => item !== ''))
  .register(forms, { placeholder: 'a,b', bounds: '' })

function quantity(placeholder: string, bounds: string, read: (text: string) => number) {
  const message = `expected ${bounds}`
  return (minimum: number, maximum: number) =>
    z
      .union([z.number(), z.string()], message)
      .transform(value => (typeof value === 'string' ? read(value.trim()) : value))
      .pipe(z.int(message).min(minimum, message).max(maximum, message))
      .register(forms, { placeholder, bounds })
}

const count = (minimum: number, maximum: number) =>
  quantity('n', `${minimum} to ${maximum}`, readDecimal)(minimum, maximum)
const milliseconds = (minimum: number, maximum: number) =>
  quantity('ms', `${minimum} to ${maximum} milliseconds`, readDecimal)(minimum, maximum)
const bytes = (minimum: number, maximum: number) =>
  quantity('size', `${formatSize(minimum)} to ${formatSize(maximum)}`, readSize)(minimum, maximum)

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
const LOG_FORMATS = ['auto', 'json', 'pretty'] as const

// biome-ignore format: a table of options is read by column
export const ServeConfig = z.strictObject({
  data:                 text.default('./data')
    .describe('Directory that holds everything the service stores.'),
  host:                 text.default('127.0.0.1')
    .describe('Address to listen on; one that is not loopback needs --open.'),
  port:                 count(0, 65_535).default(4400)
    .describe('TCP port to listen on; 0 takes any free one.'),
  open:                 flag.default(false)
    .describe('Serve on an address that is not loopback, to everyone who reaches it, without tokens.'),
  allowedOrigins:       list.default([])
    .describe('Origins whose pages may use the service, besides its own; * allows every one.'),
  allowedHosts:         list.default([])
    .describe('Names that a request\'s Host may have, besides loopback names and --host; * is any.'),
  shards:               count(1, 64).optional()
    .describe('Shard threads; a directory with another count is changed; unset: its own, or 1.'),
  readers:              count(1, 16).default(2)
    .describe('Threads for reads of stored segments and for verification.'),
  durability:           choice(Durability.options).default('group')
    .describe('Durability of streams that are created without one.'),
  compression:          choice(Compression.options).default(STREAM_CONFIG_DEFAULT.compression)
    .describe('Compression of bodies, of streams that are created without one.'),
  maxSegmentBytes:      bytes(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX).default(SEGMENT_BYTES_DEFAULT)
    .describe('Size at which a segment rolls, for streams that are created without one.'),
  checkpointEvery:      count(1, CHECKPOINT_EVERY_MAX).default(CHECKPOINT_EVERY_DEFAULT)
    .describe('Records after which a signed checkpoint is written, of streams created without one.'),
  retentionMaxAgeSeconds: count(0, RETENTION_AGE_SECONDS_MAX).default(0)
    .describe('Age in seconds at which records may go, of streams created without one; 0 keeps them.'),
  retentionMaxBytes:    bytes(0, 1024 * 1024 * GIB).default(0)
    .describe('Stored bytes past which the oldest records may go, of streams created without one; 0 keeps them.'),
  retentionMaxRecords:  count(0, Number.MAX_SAFE_INTEGER).default(0)
    .describe('Records past which the oldest may go, of streams created without one; 0 keeps them.'),
  autoCreate:           flag.default(true)
    .describe('Create a stream at the first append to it.'),
  flushDelayMs:         milliseconds(0, 10_000).default(0)
    .describe('Longest wait of a group append for others to share its sync; 0 never waits.'),
  flushOperationsMax:   count(0, 1_000_000).default(0)
    .describe('Appends that end the wait of flushDelayMs early; 0 sets no such bound.'),
  relaxedFlushMs:       milliseconds(1, 60_000).default(RELAXED_FLUSH_MS)
    .describe('Time within which relaxed appends reach stable storage.'),
  slotBytes:            bytes(64 * KIB, 64 * MIB).default(SLOT_BYTES)
    .describe('Size of each of a shard\'s two log buffer slots; a multiple of 4096.'),
  journalFileBytes:     bytes(128 * KIB, GIB).default(JOURNAL_FILE_BYTES)
    .describe('Size of a journal file; a multiple of 4096, at least two slots.'),
  journalBytesMax:      bytes(256 * KIB, 16 * GIB).default(JOURNAL_BYTES_MAX)
    .describe('Journal written per shard between checkpoints, which bounds the work of a start.'),
  checkpointIntervalMs: milliseconds(100, DAY_MS).default(30_000)
    .describe('Longest time between write-backs while there are appends.'),
  retentionIntervalMs:  milliseconds(100, DAY_MS).default(30_000)
    .describe('Time between two retention passes over the streams.'),
  recordBytesMax:       bytes(1, RECORD_BYTES_BOUND).default(RECORD_BYTES_MAX)
    .describe('Largest body of a record.'),
  requestBytesMax:      bytes(KIB, GIB).default(REQUEST_BYTES_MAX)
    .describe('Largest body of a request.'),
  batchRecordsMax:      count(1, 1_000_000).default(BATCH_RECORDS_MAX)
    .describe('Most records of one append.'),
  headersMax:           count(0, 10_000).default(HEADERS_MAX)
    .describe('Most headers of a record.'),
  headersBytesMax:      bytes(2, 65_535).default(HEADERS_BYTES_MAX)
    .describe('Largest headers of a record, as UTF-8 JSON.'),
  bodyBudgetBytes:      bytes(KIB, 64 * GIB).default(160 * MIB)
    .describe('Request bodies held in memory at a time; past it requests get 503.'),
  inFlightBytesMax:     bytes(KIB, 16 * GIB).default(64 * MIB)
    .describe('Appended bytes on their way to disk, per shard; past it appends get 503.'),
  readBudgetBytes:      bytes(KIB, 64 * GIB).default(192 * MIB)
    .describe('Read pages held in memory until their clients take them; past it reads wait, then get 503.'),
  requestIdleMs:        milliseconds(100, DAY_MS).default(10_000)
    .describe('Longest time between two parts of a request body; past it the sender gets 408.'),
  requestTimeoutMs:     milliseconds(100, DAY_MS).default(60_000)
    .describe('Longest time from the start of a request to the end of its body; past it the sender gets 408.'),
  responseIdleMs:       milliseconds(100, DAY_MS).default(30_000)
    .describe('Time after which a client that takes none of the bytes sent to it is cut off.'),
  connectionsMax:       count(1, 1_000_000).default(10_000)
    .describe('Open TCP connections.'),
  subscriptionsMax:     count(1, 1_000_000).default(10_000)
    .describe('Tails, event streams and long polls at a time; past it they get 429.'),
  sessionsMax:          count(1, 1_000_000).default(SESSIONS_MAX)
    .describe('Append sessions at a time; past it they get 429.'),
  sessionInFlightMax:   count(1, 100_000).default(SESSION_IN_FLIGHT_MAX)
    .describe('Unanswered appends of one session; past it the service stops reading its socket.'),
  streamsMax:           count(1, 100_000_000).default(1_000_000)
    .describe('Streams per shard; past it no more are created.'),
  transactionTimeoutMs: milliseconds(1, DAY_MS).default(TRANSACTION_TIMEOUT_MS)
    .describe('Longest that a transaction waits for others before it is aborted.'),
  producerExpirySeconds: count(1, 10 * 365 * 86_400).default(PRODUCER_EXPIRY_SECONDS)
    .describe('Idle time in seconds after which a stream forgets a producer, and with it its last seq.'),
  signingKey:           text.optional()
    .describe('File with the Ed25519 key (PKCS8 PEM) that signs checkpoints; unset: one in the data directory.'),
  directBytes:          bytes(0, GIB).default(DIRECT_BYTES)
    .describe('Records of an append to one stream from which on they go straight to its segment; 0: never.'),
  diskReserveBytes:     bytes(0, 1024 * GIB).default(64 * MIB)
    .describe('Free space below which appends get 507, so that a full disk never stops recovery.'),
  stallMs:              milliseconds(100, DAY_MS).default(30_000)
    .describe('Time after which a write or sync that does not return counts as failed.'),
  directIo:             flag.default(false)
    .describe('Write the journal past the page cache (O_DIRECT), where the file system does it.'),
  trustClock:           flag.default(false)
    .describe('Count ages by the system clock from this start on, though it is over a day past the last stop.'),
  shutdownMs:           milliseconds(100, DAY_MS).default(30_000)
    .describe('Time that a stop may take to drain and checkpoint before the process gives up.'),
  logLevel:             choice(LOG_LEVELS).default('info')
    .describe('Least severe log lines to print.'),
  logFormat:            choice(LOG_FORMATS).default('auto')
    .describe('Form of log lines; auto is pretty on a terminal and json elsewhere.'),
})
export type ServeConfig = z.infer<typeof ServeConfig>

/** What the commands that talk to a server read. */
export const ClientConfig = z.strictObject({
  url: z
    .url({ protocol: /^https?$/, error: 'expected an http or https URL' })
    .register(forms, { placeholder: 'url', bounds: '' })
    .default('http://127.0.0.1:4400')
    .describe('Address of the server.'),
})
export type ClientConfig = z.infer<typeof ClientConfig>

/** What the commands that work on a directory read. */
export const DirectoryConfig = ServeConfig.pick({ data: true })

/** Where values come from, in order of precedence. */
export type ConfigInput = {
  /** By option name; only what was given. */
  readonly flags: Readonly<Record<string, unknown>>
  readonly env: Readonly<Record<string, string | undefined>>
  /** The config file, parsed. */
  readonly file?: { readonly path: string; readonly values: unknown } | undefined
}

/** An option that cannot be used; the message has one line for each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

type Schema = z.ZodObject<Record<string, z.ZodType>>
type Given = { readonly value: unknown; readonly source: string }

/**
 * The configuration of a service.
 * @throws ConfigError naming each bad option, its source, the value and the bounds
 */
export function parseConfig(input: ConfigInput): ServeConfig {
  const config = readOptions(ServeConfig, input)
  const faults = CONFLICTS.filter(({ isMet }) => !isMet(config)).map(({ option, rule }) => {
    const source = given(option, input)?.source ?? 'default'
    const reason = typeof rule === 'string' ? rule : rule(config)
    return `${option} (${source}): ${describe(config[option])} is refused: ${reason}`
  })
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return config
}

/**
 * Reads the options of a schema: flag, else variable, else file, else default.
 * @throws ConfigError
 */
export function readOptions<S extends Schema>(schema: S, input: ConfigInput): z.infer<S> {
  const faults = checkFile(input)
  const values: Record<string, unknown> = {}
  for (const [option, field] of Object.entries(schema.shape)) {
    const found = given(option, input)
    const result = field.safeParse(found?.value)
    if (result.success) values[option] = result.data
    else {
      const reason = result.error.issues[0]?.message ?? 'not valid'
      faults.push(`${option} (${found?.source}): ${describe(found?.value)} is refused: ${reason}`)
    }
  }
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return values as z.infer<S>
}

/** Variables that look like options and are none: a slip, most likely. */
export function unknownVariables(env: ConfigInput['env']): string[] {
  const known = new Set([...OPTION_NAMES.map(variableOf), 'VARVE_CONFIG'])
  return Object.keys(env).filter(name => name.startsWith('VARVE_') && !known.has(name))
}

/** `flushDelayMs` → `VARVE_FLUSH_DELAY_MS` */
export function variableOf(option: string): string {
  return `VARVE_${flagOf(option).replaceAll('-', '_').toUpperCase()}`
}

/** `flushDelayMs` → `flush-delay-ms` */
export function flagOf(option: string): string {
  return option.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}

export type OptionDescription = Form & {
  readonly option: string
  readonly sentence: string
  /** As it would be written; empty when there is none. */
  readonly fallback: string
  readonly isFlag: boolean
}

/** What a help text says of each option of a schema. */
export function describeOptions(schema: Schema): OptionDescription[] {
  return Object.entries(schema.shape).map(([option, field]) => {
    const inner =
      field instanceof z.ZodDefault || field instanceof z.ZodOptional ? field.unwrap() : field
    const form = forms.get(inner as z.ZodType) ?? { placeholder: 'value', bounds: '' }
    const fallback = field.parse(undefined)
    return {
      ...form,
      option,
      sentence: field.description ?? '',
      fallback: writeFallback(fallback, form.placeholder === 'size'),
      isFlag: typeof fallback === 'boolean',
    }
  })
}

const OPTION_NAMES = [...Object.keys(ServeConfig.shape), ...Object.keys(ClientConfig.shape)]

/** What has to hold between options; the first named is the one to change. */
const CONFLICTS: readonly {
  readonly option: keyof ServeConfig
  readonly isMet: (config: ServeConfig) => boolean
  readonly rule: string | ((config: ServeConfig) => string)
}[] = [
  {
    option: 'compression',
    isMet: ({ compression }) => compressionOffered(compression) === undefined,
    rule: ({ compression }) => compressionOffered(compression) ?? '',
  },
  {
    option: 'host',
    isMet: ({ host, open }) => open || isLoopback(host),
    rule:
      'it is not loopback, and whoever reaches it could read and write every stream; ' +
      'add --open if that is wanted',
  },
  {
    option: 'slotBytes',
    isMet: ({ slotBytes }) => slotBytes % PAGE_BYTES === 0,
    rule: `expected a multiple of ${PAGE_BYTES}`,
  },
  {
    option: 'journalFileBytes',
    isMet: ({ journalFileBytes }) => journalFileBytes % PAGE_BYTES === 0,
    rule: `expected a multiple of ${PAGE_BYTES}`,
  },
  {
    option: 'journalFileBytes',
    isMet: ({ journalFileBytes, slotBytes }) => journalFileBytes >= 2 * slotBytes,
    rule: 'expected at least 2 × slotBytes',
  },
  {
    option: 'journalBytesMax',
    isMet: ({ journalBytesMax, journalFileBytes }) => journalBytesMax >= 2 * journalFileBytes,
    rule: 'expected at least 2 × journalFileBytes',
  },
  {
    option: 'requestBytesMax',
    isMet: ({ requestBytesMax, recordBytesMax }) => requestBytesMax >= recordBytesMax,
    rule: 'expected at least recordBytesMax',
  },
  {
    option: 'bodyBudgetBytes',
    isMet: ({ bodyBudgetBytes, requestBytesMax }) => bodyBudgetBytes >= requestBytesMax,
    rule: 'expected at least requestBytesMax',
  },
  {
    option: 'inFlightBytesMax',
    isMet: ({ inFlightBytesMax, requestBytesMax }) => inFlightBytesMax >= requestBytesMax,
    rule: 'expected at least requestBytesMax',
  },
]

function given(option: string, { flags, env, file }: ConfigInput): Given | undefined {
  if (flags[option] !== undefined) return { value: flags[option], source: `--${flagOf(option)}` }
  const variable = variableOf(option)
  // An empty variable is the usual way to unset one.
  if (env[variable]) return { value: env[variable], source: variable }
  if (!isObject(file?.values) || !Object.hasOwn(file.values, option)) return undefined
  return { value: file.values[option], source: file.path }
}

function checkFile({ file }: ConfigInput): string[] {
  if (file === undefined) return []
  if (!isObject(file.values)) return [`${file.path}: expected one JSON object with options as keys`]
  return Object.keys(file.values)
    .filter(key => !OPTION_NAMES.includes(key))
    .map(key => `${file.path}: there is no option ${JSON.stringify(key)}`)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Returns whether an address to listen on is reached from this machine alone. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost') return true
  const loopback = new BlockList()
  loopback.addSubnet('127.0.0.0', 8, 'ipv4')
  loopback.addAddress('::1', 'ipv6')
  if (isIPv4(host)) return loopback.check(host, 'ipv4')
  return isIPv6(host) && loopback.check(host, 'ipv6')
}

function writeFallback(value: unknown, isSize: boolean): string {
  if (typeof value === 'number') return isSize ? formatSize(value) : String(value)
  return typeof value === 'string' || typeof value === 'boolean' ? String(value) : ''
}

function describe(value: unknown): string {
  return JSON.stringify(value) ?? String(value)
}

function readDecimal(written: string): number {
  return /^\d+$/.test(written) ? Number(written) : Number.NaN
}

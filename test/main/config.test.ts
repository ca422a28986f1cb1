import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  ClientConfig,
  ConfigError,
  type ConfigInput,
  describeOptions,
  parseConfig,
  readOptions,
  ServeConfig,
  unknownVariables,
} from '../../src/main/config.ts'
import { HTTP_CONFIG_DEFAULTS } from '../../src/main/http/http-config.ts'
import { compressionOffered } from '../../src/shared/format/compression.ts'

const config = suite('main/config')

function parse(input: Partial<ConfigInput>): ServeConfig {
  return parseConfig({ flags: {}, env: {}, ...input })
}

/** The message with which a configuration is refused. */
function refusal(input: Partial<ConfigInput>): string {
  try {
    parse(input)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'it was not refused'
}

function file(values: unknown): Pick<ConfigInput, 'file'> {
  return { file: { path: 'varve.json', values } }
}

config('without any source everything has its default', () => {
  const { data, host, port, shards, durability, autoCreate, allowedOrigins } = parse({})
  assert.equal({ data, host, port }, { data: './data', host: '127.0.0.1', port: 4400 })
  assert.equal(
    { shards, durability, autoCreate },
    { shards: undefined, durability: 'group', autoCreate: true },
  )
  assert.equal(allowedOrigins, [])
})

config('limits of requests have the same defaults as the front end', () => {
  const { recordBytesMax, requestBytesMax, batchRecordsMax, headersMax, headersBytesMax } = parse(
    {},
  )
  const limits = { recordBytesMax, requestBytesMax, batchRecordsMax, headersMax, headersBytesMax }
  for (const [name, value] of Object.entries(limits)) {
    assert.is(value, HTTP_CONFIG_DEFAULTS[name as keyof typeof limits], name)
  }
})

config('a flag wins over a variable, a variable over the file', () => {
  const env = { VARVE_PORT: '2', VARVE_READERS: '4' }
  const input = { env, ...file({ port: 3, readers: 5, streamsMax: 6 }) }
  const { port, readers, streamsMax } = parse({ flags: { port: '1' }, ...input })
  assert.equal({ port, readers, streamsMax }, { port: 1, readers: 4, streamsMax: 6 })
})

config('an empty variable counts as not set', () => {
  assert.is(parse({ env: { VARVE_PORT: '' } }).port, 4400)
})

config('sizes are numbers or text with a unit', () => {
  const flags = { recordBytesMax: '1MiB', requestBytesMax: '2MB' }
  const { recordBytesMax, requestBytesMax, slotBytes } = parse({
    flags,
    ...file({ slotBytes: 131_072 }),
  })
  assert.equal([recordBytesMax, requestBytesMax, slotBytes], [1_048_576, 2_000_000, 131_072])
})

config('booleans are written in words', () => {
  assert.is(parse({ env: { VARVE_AUTO_CREATE: 'false' } }).autoCreate, false)
  assert.is(parse(file({ autoCreate: false })).autoCreate, false)
  assert.match(refusal({ env: { VARVE_AUTO_CREATE: 'maybe' } }), 'expected true or false')
})

config('a list is an array in the file and has commas elsewhere', () => {
  const expected = ['https://a.example', 'https://b.example']
  const env = { VARVE_ALLOWED_ORIGINS: 'https://a.example, https://b.example,' }
  assert.equal(parse({ env }).allowedOrigins, expected)
  assert.equal(parse(file({ allowedOrigins: expected })).allowedOrigins, expected)
})

config('a refusal names the option, its source, the value and the bounds', () => {
  const range = 'is refused: expected 0 to 65535'
  assert.is(refusal({ flags: { port: '70000' } }), `port (--port): "70000" ${range}`)
  assert.is(refusal({ env: { VARVE_PORT: 'x' } }), `port (VARVE_PORT): "x" ${range}`)
  assert.is(refusal(file({ port: 1.5 })), `port (varve.json): 1.5 ${range}`)
})

config('durations have no unit', () => {
  const message = refusal({ flags: { flushDelayMs: '1s' } })
  assert.is(
    message,
    'flushDelayMs (--flush-delay-ms): "1s" is refused: expected 0 to 10000 milliseconds',
  )
})

config('a size outside its bounds is refused with them', () => {
  const message = refusal({ flags: { maxSegmentBytes: '1KiB' } })
  assert.match(message, 'expected 64KiB to 1GiB')
})

config('every bad option is named at once', () => {
  const message = refusal({
    flags: { port: 'x', readers: '0' },
    env: { VARVE_DURABILITY: 'never' },
  })
  assert.equal(message.split('\n').length, 3)
  assert.match(message, 'expected one of immediate, group, relaxed')
})

config('an unknown key in the file is refused', () => {
  assert.is(refusal(file({ prot: 1 })), 'varve.json: there is no option "prot"')
  assert.match(refusal(file([])), 'expected one JSON object')
})

config('one file may serve all commands', () => {
  const { url } = readOptions(ClientConfig, {
    flags: {},
    env: {},
    ...file({ url: 'http://a:1', port: 2 }),
  })
  assert.is(url, 'http://a:1')
  assert.is(parse(file({ url: 'http://a:1', port: 2 })).port, 2)
})

config('a url must be one of http', () => {
  const input = { flags: { url: 'ftp://x' }, env: {} }
  assert.throws(
    () => readOptions(ClientConfig, input),
    /url \(--url\).*expected an http or https URL/,
  )
})

config('an address that is not loopback needs a word', () => {
  for (const host of ['0.0.0.0', '::', '192.168.1.2', 'example.org']) {
    assert.match(refusal({ flags: { host } }), 'add --open')
    assert.is(parse({ flags: { host, open: true } }).host, host)
  }
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1']) {
    assert.is(parse({ flags: { host } }).host, host)
  }
})

config('slots and journal files are whole pages', () => {
  assert.match(refusal({ flags: { slotBytes: '100000' } }), 'slotBytes (--slot-bytes)')
  assert.match(refusal({ flags: { journalFileBytes: '20000000' } }), 'a multiple of 4096')
})

config('options that depend on each other are held together', () => {
  const slot = { slotBytes: '16MiB' }
  assert.match(refusal({ flags: slot }), 'expected at least 2 × slotBytes')
  assert.match(refusal({ flags: { journalBytesMax: '16MiB' } }), 'at least 2 × journalFileBytes')
  assert.match(refusal({ flags: { requestBytesMax: '1MiB' } }), 'at least recordBytesMax')
  assert.match(refusal({ flags: { bodyBudgetBytes: '1MiB' } }), 'at least requestBytesMax')
  assert.match(refusal({ flags: { inFlightBytesMax: '1MiB' } }), 'at least requestBytesMax')
})

config('a compression that this process cannot do is refused with the reason', () => {
  const reason = compressionOffered('zstd')
  if (reason === undefined) assert.is(parse({ flags: { compression: 'zstd' } }).compression, 'zstd')
  else {
    const message = `compression (--compression): "zstd" is refused: ${reason}`
    assert.is(refusal({ flags: { compression: 'zstd' } }), message)
  }
  assert.is(parse({ flags: { compression: 'lz4' } }).compression, 'lz4')
})

config('defaults of streams have the bounds of streams', () => {
  assert.match(refusal({ flags: { checkpointEvery: '0' } }), 'expected 1 to 1000000')
  const age = { retentionMaxAgeSeconds: '10000000001' }
  assert.match(refusal({ flags: age }), 'expected 0 to 10000000000')
})

config('a variable that is no option is noticed', () => {
  const env = {
    VARVE_FLUSH_DELAY: '1',
    VARVE_PORT: '1',
    VARVE_URL: 'x',
    VARVE_CONFIG: 'y',
    HOME: '/',
  }
  assert.equal(unknownVariables(env), ['VARVE_FLUSH_DELAY'])
})

config('every option has a sentence, and a number its bounds', () => {
  for (const { option, sentence, bounds, placeholder } of describeOptions(ServeConfig)) {
    assert.match(sentence, /^[A-Z].*\.$/, option)
    if (['n', 'ms', 'size', 'name'].includes(placeholder)) assert.ok(bounds !== '', option)
  }
})

config('a name with its unit is an option with that unit', () => {
  const unitOf = new Map([
    ['Ms', 'ms'],
    ['Bytes', 'size'],
  ])
  for (const { option, placeholder } of describeOptions(ServeConfig)) {
    for (const [word, unit] of unitOf) {
      if (option.includes(word)) assert.is(placeholder, unit, option)
    }
  }
})

config.run()

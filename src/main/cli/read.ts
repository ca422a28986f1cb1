import { Command, Option } from 'commander'
import { ClientConfig } from '../config.ts'
import { Client } from './client.ts'
import { type CommandContext, type Output, write } from './context.ts'
import {
  addConfigFlags,
  AFTER_HELP,
  afterWithoutFrom,
  helpAfter,
  integer,
  position,
  readClientConfig,
  recordHash,
} from './options.ts'
import {
  BATCH_TYPE,
  bodiesOf,
  countBatchItems,
  countLines,
  firstLines,
  NDJSON_TYPE,
} from './record-output.ts'
import { type Page, type PageRange, readPages } from './stream-pages.ts'

type ReadFlags = {
  readonly from?: number | 'start' | 'end'
  readonly to?: number
  readonly limit?: number
  readonly backward?: true
  readonly since?: string
  readonly after?: string
  readonly verify: string
  readonly format: 'text' | 'raw' | 'json' | 'ndjson'
}

const HELP = `
Formats:
  text    each record's body, followed by a line feed; binary bodies as they are
  raw     the bodies back to back
  json    one JSON array of record objects: offset, timestamp, headers, and data, text or base64
  ndjson  one record object a line

Reads up to where the stream ends when the command starts; "varve tail" follows it.
`

export function readCommand(context: CommandContext): Command {
  const command = new Command('read')
    .summary('print the records of a stream')
    .description('Prints the records of a stream, checked on their way.')
    .argument('<stream>', 'name of the stream')
    .option(
      '--from <offset>',
      'where to start: an offset, start or end (default: start; with --backward, end)',
      position,
    )
    .option(
      '--to <offset>',
      'where to stop: the first offset not wanted; with --backward, the last one wanted',
      integer(0),
    )
    .option('--after <hash>', AFTER_HELP, recordHash)
    .option('--limit <n>', 'at most so many records', integer(1))
    .option('--backward', 'from the last record before --from down')
    .addOption(
      new Option(
        '--since <time>',
        'start at the first record at or after this time (RFC 3339)',
      ).conflicts(['from', 'backward']),
    )
    .addOption(
      new Option('--verify <how>', 'what to check beside checksums')
        .choices(['none', 'links', 'checkpoint', 'genesis'])
        .default('links'),
    )
    .addOption(
      new Option('--format <format>', 'how to print')
        .choices(['text', 'raw', 'json', 'ndjson'])
        .default('text'),
    )
  return addConfigFlags(command, ClientConfig)
    .addHelpText(
      'after',
      helpAfter(HELP, [
        'varve read access-log > copy.log',
        'varve read orders --backward --limit 10 --format ndjson',
        'varve read orders --since 2026-01-31T00:00:00Z --verify genesis',
      ]),
    )
    .action(async (stream: string, flags: ReadFlags) => {
      const client = new Client(readClientConfig(command, context).url)
      try {
        await read(client, stream, flags, context.stdout)
      } finally {
        client.close()
      }
    })
}

async function read(
  client: Client,
  stream: string,
  flags: ReadFlags,
  output: Output,
): Promise<void> {
  const { from, to, limit, since, after, verify, format } = flags
  if (after !== undefined && from === undefined) throw afterWithoutFrom()
  const isBackward = flags.backward === true
  const range: PageRange = { from, to, limit, since, after, verify, isBackward }
  const isBatch = format === 'text' || format === 'raw'
  const pages = isBatch
    ? readPages(client, stream, range, BATCH_TYPE, countBatchItems)
    : readPages(client, stream, range, NDJSON_TYPE, countLines)
  let isFirst = true
  for await (const page of pages) {
    await write(output, renderPage(page, format, isFirst))
    isFirst = false
  }
  if (format === 'json') await write(output, isFirst ? '[]\n' : '\n]\n')
}

function renderPage({ body, count }: Page, format: ReadFlags['format'], isFirst: boolean): Buffer {
  switch (format) {
    case 'text':
      return bodiesOf(body, { count, lineFeeds: true })
    case 'raw':
      return bodiesOf(body, { count, lineFeeds: false })
    case 'ndjson':
      return firstLines(body, count)
    case 'json': {
      // A line of NDJSON holds no other line feed, so latin1 keeps every byte and the end is sure.
      const lines = firstLines(body, count).toString('latin1').trimEnd().replaceAll('\n', ',\n')
      return Buffer.from(`${isFirst ? '[\n' : ',\n'}${lines}`, 'latin1')
    }
  }
}

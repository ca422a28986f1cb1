import { Command, Option } from 'commander'
import type { StreamInfo } from '../../shared/schemas/streams.ts'
import { ClientConfig } from '../config.ts'
import { Client, streamPath } from './client.ts'
import { type CommandContext, ExitCode, write } from './context.ts'
import { Follower } from './follower.ts'
import {
  addConfigFlags,
  AFTER_HELP,
  afterWithoutFrom,
  helpAfter,
  position,
  readClientConfig,
  recordHash,
} from './options.ts'
import { bodiesOf } from './record-output.ts'
import type { TailRecords } from './tail-message.ts'

type TailFlags = {
  readonly from: number | 'start' | 'end'
  readonly after?: string
  readonly format: 'text' | 'raw' | 'ndjson'
}

const HELP = `
Reconnects when the connection is lost, and goes on where it was: no record is left out or printed
twice. Where the stream was meanwhile deleted and created again, restored or rewritten, it fails and
says so (history_mismatch). Ends at the end of a closed stream, or when interrupted.

Formats:
  text    each record's body, followed by a line feed; binary bodies as they are
  raw     the bodies back to back
  ndjson  one record object a line: offset, timestamp, headers, and data, text or base64
`

export function tailCommand(context: CommandContext): Command {
  const command = new Command('tail')
    .summary('follow a stream')
    .description('Prints the records of a stream as they become durable.')
    .argument('<stream>', 'name of the stream; it must exist')
    .addOption(
      new Option('--from <offset>', 'where to start: an offset, start or end')
        .argParser(position)
        .default('end'),
    )
    .option('--after <hash>', AFTER_HELP, recordHash)
    .addOption(
      new Option('--format <format>', 'how to print')
        .choices(['text', 'raw', 'ndjson'])
        .default('text'),
    )
  return addConfigFlags(command, ClientConfig)
    .addHelpText(
      'after',
      helpAfter(HELP, [
        'varve tail orders',
        'varve tail orders --from start --format ndjson | jq .data',
      ]),
    )
    .action(async (stream: string, flags: TailFlags) => {
      const client = new Client(readClientConfig(command, context).url)
      const interruption = new AbortController()
      const endSignals = context.onSignal(() => {
        if (interruption.signal.aborted) context.exit(ExitCode.Failure)
        interruption.abort()
      })
      try {
        await tail(context, client, stream, flags, interruption.signal)
      } finally {
        endSignals()
        client.close()
      }
    })
}

async function tail(
  context: CommandContext,
  client: Client,
  stream: string,
  { from, after, format }: TailFlags,
  signal: AbortSignal,
): Promise<void> {
  if (after !== undefined && typeof from !== 'number') throw afterWithoutFrom()
  // The position is a number from the start: a connection lost before its first record would
  // otherwise come back to another end.
  const info = await client.requestJson<StreamInfo>({ path: streamPath(stream) })
  const start = { start: info.firstOffset, end: info.nextOffset }
  const follower = new Follower(
    {
      client,
      stream,
      format: format === 'ndjson' ? 'json' : 'batch',
      onRecords: records => write(context.stdout, render(records, format)),
      onRetry: (reason, waitMs) => {
        context.stderr.write(`varve: ${reason}; trying again in ${(waitMs / 1000).toFixed(1)} s\n`)
      },
      signal,
    },
    typeof from === 'number' ? from : start[from],
    after,
  )
  await follower.run()
}

function render({ content, count, skip }: TailRecords, format: TailFlags['format']): Buffer {
  if (Buffer.isBuffer(content)) {
    return bodiesOf(content, { count: count - skip, skip, lineFeeds: format === 'text' })
  }
  return Buffer.from(
    content
      .slice(skip)
      .map(record => `${record}\n`)
      .join(''),
  )
}

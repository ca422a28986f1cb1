import { isUtf8 } from 'node:buffer'
import type { Readable } from 'node:stream'
import { Command, Option } from 'commander'
import { RecordFormat } from '../../shared/format/record.ts'
import { BATCH_RECORDS_MAX } from '../../shared/limits.ts'
import { Durability } from '../../shared/schemas/scalars.ts'
import { ClientConfig } from '../config.ts'
import { openInput } from '../files.ts'
import { AppendReport } from './append-report.ts'
import { BATCH_BYTES, BatchSender } from './batch-sender.ts'
import { Client, streamPath } from './client.ts'
import { type CommandContext, CommandFailure, ExitCode } from './context.ts'
import { LineSplitter } from './line-splitter.ts'
import { addConfigFlags, helpAfter, integer, readClientConfig } from './options.ts'

type AppendFlags = {
  readonly lines?: true
  readonly ndjson?: true
  readonly type?: 'text' | 'json' | 'binary'
  readonly durability?: string
  readonly expectedOffset?: number
  readonly batchRecords: number
  readonly json?: true
}

const FORMATS = {
  text: RecordFormat.Text,
  json: RecordFormat.Json,
  binary: RecordFormat.Binary,
} as const

const HELP = `
Without --lines and --ndjson the whole input is one record.

With --lines each line is a record: its bytes exactly, a carriage return included, without the line
feed. Lines that are not valid UTF-8 become binary records. "varve read" prints the same bytes back
(and a line feed after the last line, should the file lack it).

Batches go out one after the other, each of them applied as a whole or not at all. When one fails,
the command says how many records were appended before it, and what became of the one that failed.
`

export function appendCommand(context: CommandContext): Command {
  const command = new Command('append')
    .summary('append standard input or a file to a stream')
    .description('Appends records to a stream, from standard input or a file.')
    .argument('<stream>', 'name of the stream; it is created where the server allows that')
    .argument('[file]', 'file to read instead of standard input; - is standard input')
    .addOption(new Option('--lines', 'one record for each line').conflicts(['ndjson', 'type']))
    .addOption(
      new Option('--ndjson', 'one JSON record for each line; empty lines are skipped').conflicts(
        'type',
      ),
    )
    .addOption(
      new Option('--type <type>', 'of the one record; text if it is UTF-8, else binary').choices(
        Object.keys(FORMATS),
      ),
    )
    .addOption(
      new Option('--durability <mode>', "instead of the stream's own").choices(Durability.options),
    )
    .option(
      '--expected-offset <n>',
      'offset that the first record must get; all follow without a gap',
      integer(0),
    )
    .option(
      '--batch-records <n>',
      'most records of one request',
      integer(1, 1_000_000),
      BATCH_RECORDS_MAX,
    )
    .option('--json', 'print the result as one JSON object')
  return addConfigFlags(command, ClientConfig)
    .addHelpText(
      'after',
      helpAfter(HELP, [
        'varve append access-log /var/log/nginx/access.log --lines',
        'tail -f app.log | varve append app-log --lines',
        'varve append orders events.ndjson --ndjson --expected-offset 0',
        'echo -n \'{"total": 12}\' | varve append orders --type json',
      ]),
    )
    .action(async (stream: string, file: string | undefined, flags: AppendFlags) => {
      await append(context, readClientConfig(command, context).url, stream, file, flags)
    })
}

async function append(
  context: CommandContext,
  url: string,
  stream: string,
  file: string | undefined,
  flags: AppendFlags,
): Promise<void> {
  streamPath(stream)
  const fromFile = file !== undefined && file !== '-'
  const { input, size } = fromFile
    ? await openInput(file)
    : { input: context.stdin, size: undefined }
  if (!fromFile && context.stdin.isTTY === true) {
    context.stderr.write('Reading from the terminal; end with Ctrl-D.\n')
  }
  input.on('error', () => undefined) // whoever reads the input meets it; no one need be reading
  const client = new Client(url)
  const report = new AppendReport(context, { stream, size, json: flags.json === true })
  const sender = new BatchSender({
    client,
    stream,
    durability: flags.durability,
    expectedOffset: flags.expectedOffset,
    recordsMax: flags.batchRecords,
    bytesMax: BATCH_BYTES,
    onProgress: appended => report.update(appended),
    onFailure: error => input.destroy(error),
  })
  const endSignals = stopOnSignal(context, input)
  try {
    await feed(input, sender, flags)
    await sender.finish()
    if (sender.appended.records > 0 && !sender.appended.durable) {
      await client.request({ method: 'POST', path: 'v1/barrier' })
    }
    await report.succeed(sender.appended)
  } catch (error) {
    await sender.stop()
    await report.fail(sender, error as Error)
  } finally {
    endSignals()
    client.close()
  }
}

/** The first signal ends the input, so that what is in flight is still accounted for. */
function stopOnSignal(context: CommandContext, input: Readable): () => void {
  let isStopping = false
  return context.onSignal(signal => {
    if (isStopping) context.exit(ExitCode.Failure)
    isStopping = true
    input.destroy(new CommandFailure(`stopped by ${signal}`))
  })
}

/** Turns the input into records. */
async function feed(input: Readable, sender: BatchSender, flags: AppendFlags): Promise<void> {
  if (flags.lines !== true && flags.ndjson !== true) {
    const body = Buffer.concat((await input.toArray()) as Buffer[])
    const guessed = isUtf8(body) ? RecordFormat.Text : RecordFormat.Binary
    return sender.add(flags.type === undefined ? guessed : FORMATS[flags.type], body)
  }
  const splitter = new LineSplitter()
  const toItem = flags.lines === true ? lineItem : ndjsonItem
  const addAll = async (lines: Iterable<Buffer>) => {
    for (const line of lines) {
      const item = toItem(line)
      if (item !== undefined) await sender.add(item.format, item.body)
    }
    sender.offer()
  }
  for await (const chunk of input) await addAll(splitter.push(chunk as Buffer))
  await addAll(splitter.end())
}

type Item = { readonly format: RecordFormat; readonly body: Buffer }

function lineItem(line: Buffer): Item {
  return { format: isUtf8(line) ? RecordFormat.Text : RecordFormat.Binary, body: line }
}

/** The white space of JSON (RFC 8259, section 2). */
const SPACES = new Set([0x20, 0x09, 0x0a, 0x0d])

function ndjsonItem(line: Buffer): Item | undefined {
  let start = 0
  let end = line.length
  while (start < end && SPACES.has(line[start] as number)) start += 1
  while (end > start && SPACES.has(line[end - 1] as number)) end -= 1
  return start === end ? undefined : { format: RecordFormat.Json, body: line.subarray(start, end) }
}

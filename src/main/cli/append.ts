import type { Readable } from 'node:stream'
import { Command, InvalidArgumentError, Option } from 'commander'
import { BATCH_RECORDS_MAX, PRODUCER_ID_BYTES_MAX } from '../../shared/limits.ts'
import { Durability } from '../../shared/schemas/scalars.ts'
import { ClientConfig } from '../config.ts'
import { feedRecords } from './append-feed.ts'
import { AppendReport } from './append-report.ts'
import { type AppendFlags, FORMATS, openSource } from './append-source.ts'
import { BATCH_BYTES, BatchSender } from './batch-sender.ts'
import { Client, streamPath } from './client.ts'
import { type CommandContext, CommandFailure, ExitCode } from './context.ts'
import { addConfigFlags, helpAfter, integer, readClientConfig } from './options.ts'

const HELP = `
Without --lines and --ndjson the whole input is one record.

With --lines each line is a record: its bytes exactly, a carriage return included, without the line
feed. Lines that are not valid UTF-8 become binary records. "varve read" prints the same bytes back
(and a line feed after the last line, should the file lack it).

Batches go out one after the other, each of them applied as a whole or not at all. Those of a file
bear a producer's id and a number, so that one whose answer was lost is sent again and applied once;
those of standard input do so with --producer.

How far the append of a file is, is kept in a small state file. After an interruption of whatever
kind, of this command or of the server, the same command with --resume goes on and duplicates
nothing. Standard input cannot be gone on with, for it is gone: save it to a file first.
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
    .addOption(
      new Option(
        '--expected-offset <n>',
        'offset that the first record must get; all follow without a gap',
      )
        .argParser(integer(0))
        .conflicts('resume'),
    )
    .option(
      '--batch-records <n>',
      'most records of one request',
      integer(1, 1_000_000),
      BATCH_RECORDS_MAX,
    )
    .option('--resume', 'go on with an append of this file that was interrupted')
    .addOption(
      new Option(
        '--state <file>',
        'where it is kept how far an append of a file is; by default below ~/.local/state/varve',
      ),
    )
    .addOption(
      new Option('--producer <id>', 'name under which batches are numbered; by default a new one')
        .argParser(producerId)
        .conflicts('resume'),
    )
    .addOption(
      new Option(
        '--epoch <n>',
        'of the producer: shuts out runs with a lower one; by default the time in milliseconds',
      )
        .argParser(integer(0))
        .conflicts('resume'),
    )
    .option('--json', 'print the result as one JSON object')
  return addConfigFlags(command, ClientConfig)
    .addHelpText(
      'after',
      helpAfter(HELP, [
        'varve append access-log /var/log/nginx/access.log --lines',
        'tail -f app.log | varve append app-log --lines',
        'varve append access-log /var/log/nginx/access.log --lines --resume',
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
  const source = await openSource(context, url, stream, file, flags)
  const { start, ledger } = source
  const input = source.file?.stream(start) ?? context.stdin
  input.on('error', () => undefined) // whoever reads the input meets it; no one need be reading
  const client = new Client(url)
  const report = new AppendReport(context, {
    stream,
    size: source.file?.size,
    json: flags.json === true,
    ledger,
    canResume: source.state !== undefined,
  })
  const sender = new BatchSender({
    client,
    stream,
    durability: flags.durability,
    expectedOffset: source.expectedOffset,
    recordsMax: flags.batchRecords,
    bytesMax: BATCH_BYTES,
    ledger,
    onProgress: appended => report.update(appended),
    onFailure: error => input.destroy(error),
  })
  const endSignals = stopOnSignal(context, input)
  try {
    await feedRecords(input, start, sender, flags)
    await sender.finish()
    if (sender.appended.records > 0 && !sender.appended.durable) {
      await client.request({ method: 'POST', path: 'v1/barrier' })
    }
    await ledger?.finish()
    await report.succeed(sender.appended)
  } catch (error) {
    await sender.stop()
    if (sender.failure?.outcome === 'not_applied') await ledger?.retract()
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

/** Visible ASCII: it travels in an HTTP header. */
function producerId(written: string): string {
  if (/^[!-~]+$/.test(written) && written.length <= PRODUCER_ID_BYTES_MAX) return written
  throw new InvalidArgumentError(
    `Expected 1 to ${PRODUCER_ID_BYTES_MAX} visible characters of ASCII, without spaces.`,
  )
}

import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { HEADER_COPY_PATH, HEADER_PATH } from '../../shared/format/paths.ts'
import type { Loss, RepairReport } from '../../shared/protocol/inspection.ts'
import { DirectoryConfig } from '../config.ts'
import { DirectoryLock } from '../directory-lock.ts'
import { fileExists } from '../files.ts'
import { type CommandContext, CommandFailure, write } from './context.ts'
import { inspect } from './inspection.ts'
import { countOf } from './progress.ts'
import { addConfigFlags, helpAfter, readDirectoryConfig } from './options.ts'

type RepairFlags = {
  readonly apply?: true
  readonly commit: readonly string[]
  readonly abort: readonly string[]
  readonly json?: true
}

const HELP = `
For a directory that "varve verify" calls damaged, or that has a read-only shard. Without --apply
it prints what is damaged and what a repair would give up, and writes nothing. With --apply it
stores all readable records in segments, rebuilds catalogues and manifests, starts new journals and
moves the old ones to quarantine/. It writes the losses to losses.json, which "varve verify" prints
from then on. Each stream continues after its last readable record, so lost offsets are used again.
If the files of a stream cannot be repaired, the others are, and the command exits with 1.

A transaction whose coordinator's journal is damaged may be undecided. Settle each one with --commit
or --abort; nothing is written before. Stop the server first: a repair locks the data directory.
`

export function repairCommand(context: CommandContext): Command {
  const command = new Command('repair')
    .summary('repair a damaged data directory, offline')
    .description('Prints what is lost in a damaged data directory, and with --apply repairs it.')
    .option('--apply', 'write; without it nothing is changed')
    .option('--commit <id>', 'commit this undecided transaction; may be repeated', collectId, [])
    .option('--abort <id>', 'abort this undecided transaction; may be repeated', collectId, [])
    .option('--json', 'print one JSON object')
  return addConfigFlags(command, DirectoryConfig)
    .addHelpText(
      'after',
      helpAfter(HELP, [
        'varve repair --data ./data',
        'varve repair --data ./data --apply',
        'varve repair --data ./data --apply --commit 0012d687a1b2c3d4',
      ]),
    )
    .action(async (flags: RepairFlags) => {
      await repair(context, readDirectoryConfig(command, context).data, flags)
    })
}

function collectId(value: string, before: readonly string[]): string[] {
  if (!/^[0-9a-f]{16}$/.test(value)) throw new InvalidArgumentError('Expected 16 hex digits.')
  return [...before, value]
}

async function repair(context: CommandContext, data: string, flags: RepairFlags): Promise<void> {
  // Checked before the lock, which would create the directory.
  if (![HEADER_PATH, HEADER_COPY_PATH].some(path => fileExists(join(data, path)))) {
    throw new CommandFailure(`${data} is no data directory: it has no ${HEADER_PATH}`)
  }
  const lock = DirectoryLock.take(data)
  let report: RepairReport | undefined
  try {
    const { commit, abort, apply } = flags
    await inspect(
      { kind: 'repair', data, commit, abort, apply: apply === true },
      {
        onFinding: () => undefined,
        onRepaired: found => {
          report = found
        },
      },
    )
  } finally {
    lock.release()
  }
  if (report === undefined) throw new CommandFailure('the repair ended without a report')
  const isJson = flags.json === true
  await write(context.stdout, isJson ? `${JSON.stringify(report)}\n` : reportText(data, report))
  if (report.undecided.length > 0) {
    throw new CommandFailure('nothing was written: settle each transaction by --commit or --abort')
  }
  if (report.unmended.length === 0) return
  const count = countOf(report.unmended.length, 'thing')
  throw new CommandFailure(`${count} could not be repaired; the rest of ${data} is`)
}

function reportText(data: string, report: RepairReport): string {
  const { reasons, losses, undecided, unmended, quarantine } = report
  if (reasons.length === 0) return `${data}: nothing to repair\n`
  const lines = [
    ...reasons.map(reason => `damage ${reason}`),
    ...losses.map(describeLoss),
    ...undecided.map(
      ({ id, coordinator, streams }) =>
        `undecided transaction ${id} · shard ${coordinator} decides · ${streams.join(', ')}`,
    ),
    ...unmended.map(what => `not repaired ${what}`),
    quarantine === null
      ? `${data}: nothing was written; repair it with --apply`
      : `${data}: repaired; what was replaced is in ${quarantine}`,
  ]
  return `${lines.join('\n')}\n`
}

function describeLoss({ shard, stream, streamId, firstOffset, nextOffset, reason }: Loss): string {
  const name = stream === null ? `stream id ${streamId}` : `stream ${JSON.stringify(stream)}`
  const whose = stream === null && streamId === null ? `shard ${shard}` : name
  const range = firstOffset === null ? '' : ` · offsets [${firstOffset}, ${nextOffset})`
  return `lost   ${whose}${range} · ${reason}`
}

import { Command } from 'commander'
import type { Finding, InspectionReport } from '../../shared/protocol/inspection.ts'
import { DirectoryConfig } from '../config.ts'
import { type CommandContext, CommandFailure, write } from './context.ts'
import { readHeads, readPublicKey } from './head-files.ts'
import { describeFinding, inspect } from './inspection.ts'
import { addConfigFlags, helpAfter, readDirectoryConfig } from './options.ts'
import { countOf, formatBytes, Progress } from './progress.ts'

type VerifyFlags = {
  readonly head: readonly string[]
  readonly key: readonly string[]
  readonly json?: true
}

const HELP = `
Reads journals, segments, indexes and manifests from the files alone and follows every stream's
hash chain; writes nothing and needs no server. Damage is reported with the file, the offsets and
the bytes concerned, and ends the command with 1. A note is what a crash leaves behind, or what is
rebuilt at its next use: nothing is lost by it.

Files that were made anew as a whole, with keys of their own, check: nothing in them says what was
there before. A signed checkpoint that somebody kept does. With --head the log has to have it where
it was signed, so that a cut tail and a changed history are found; with --key its signature is held
against a key that was kept too, and not against the keys in the directory.
`

export function verifyCommand(context: CommandContext): Command {
  const command = new Command('verify')
    .summary('check a data directory, offline')
    .description('Checks everything in a data directory and changes nothing.')
    .option(
      '--head <file>',
      'signed checkpoints that were kept elsewhere, as the service gave them; may be repeated',
      collect,
      [],
    )
    .option(
      '--key <file>',
      'public key (PEM) kept with them, to trust instead of the directory; may be repeated',
      collect,
      [],
    )
    .option('--json', 'print the report and the findings as one JSON object')
  return addConfigFlags(command, DirectoryConfig)
    .addHelpText(
      'after',
      helpAfter(HELP, [
        'varve verify --data ./data',
        'varve verify --data /backup --json',
        'varve verify --data ./data --head head.json --key 3f2a9c1b5d7e8f903f2a9c1b5d7e8f90.pub',
      ]),
    )
    .action(async (flags: VerifyFlags) => {
      await verify(context, readDirectoryConfig(command, context).data, flags)
    })
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value]
}

async function verify(context: CommandContext, data: string, flags: VerifyFlags): Promise<void> {
  const heads = flags.head.flatMap(readHeads)
  const keys = flags.key.map(readPublicKey)
  const isJson = flags.json === true
  const progress = new Progress(context.stderr, 0)
  const findings: Finding[] = []
  const report = await inspect(
    { kind: 'verify', data, heads, keys },
    {
      onProgress: ({ doneBytes, totalBytes, what }) => {
        progress.setTotal(totalBytes)
        progress.update(doneBytes, `${formatBytes(doneBytes)}, ${what}`)
      },
      onFinding: finding => findings.push(finding),
    },
  ).finally(() => progress.close())
  if (report === undefined) throw new CommandFailure('the verification ended without a report')
  const text = isJson ? reportJson(data, report, findings) : reportText(data, report, findings)
  await write(context.stdout, text)
  if (report.ok) return
  throw new CommandFailure(`${countOf(report.findings, 'finding')} of damage in ${data}`)
}

function reportJson(data: string, report: InspectionReport, findings: readonly Finding[]): string {
  const { ok, findings: _, ...counts } = report
  return `${JSON.stringify({ ok, data, ...counts, findings })}\n`
}

function reportText(data: string, report: InspectionReport, findings: readonly Finding[]): string {
  const lines = findings.map(describeFinding)
  const counts = [
    countOf(report.shards, 'shard'),
    countOf(report.streams, 'stream'),
    countOf(report.segments, 'segment'),
    `${countOf(report.records, 'record')} (${formatBytes(report.recordBytes)})`,
    countOf(report.checkpoints, 'checkpoint'),
    countOf(report.journalBlocks, 'journal block'),
    countOf(report.journalFrames, 'frame'),
    countOf(report.indexPages, 'index page'),
    ...(report.heads === 0 ? [] : [countOf(report.heads, 'kept head')]),
  ]
  const verdict = report.ok
    ? 'everything checks'
    : `DAMAGED: ${countOf(report.findings, 'finding')}`
  return `${[...lines, `${data}: ${counts.join(', ')}`, verdict].join('\n')}\n`
}

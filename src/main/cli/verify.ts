import { Command } from 'commander'
import type { Finding, InspectionReport } from '../../shared/protocol/inspection.ts'
import { DirectoryConfig } from '../config.ts'
import { type CommandContext, CommandFailure, write } from './context.ts'
import { describeFinding, inspect } from './inspection.ts'
import { addConfigFlags, helpAfter, readDirectoryConfig } from './options.ts'
import { countOf, formatBytes, Progress } from './progress.ts'

const HELP = `
Reads journals, segments, indexes and manifests from the files alone and follows every stream's
hash chain; writes nothing and needs no server. Damage is reported with the file, the offsets and
the bytes concerned, and ends the command with 1. A note is what a crash leaves behind, or what is
rebuilt at its next use: nothing is lost by it.
`

export function verifyCommand(context: CommandContext): Command {
  const command = new Command('verify')
    .summary('check a data directory, offline')
    .description('Checks everything in a data directory and changes nothing.')
    .option('--json', 'print the report and the findings as one JSON object')
  return addConfigFlags(command, DirectoryConfig)
    .addHelpText(
      'after',
      helpAfter(HELP, ['varve verify --data ./data', 'varve verify --data /backup --json']),
    )
    .action(async (flags: { readonly json?: true }) => {
      await verify(context, readDirectoryConfig(command, context).data, flags.json === true)
    })
}

async function verify(context: CommandContext, data: string, isJson: boolean): Promise<void> {
  const progress = new Progress(context.stderr, 0)
  const findings: Finding[] = []
  const report = await inspect(
    { kind: 'verify', data },
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
    countOf(report.journalBlocks, 'journal block'),
    countOf(report.journalFrames, 'frame'),
    countOf(report.indexPages, 'index page'),
  ]
  const verdict = report.ok
    ? 'everything checks'
    : `DAMAGED: ${countOf(report.findings, 'finding')}`
  return `${[...lines, `${data}: ${counts.join(', ')}`, verdict].join('\n')}\n`
}

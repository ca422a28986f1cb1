import { Command } from 'commander'
import { type CommandContext, CommandFailure, write } from './context.ts'
import { describeFinding, inspect } from './inspection.ts'
import { helpAfter } from './options.ts'
import { countOf } from './progress.ts'

export function inspectCommand(context: CommandContext): Command {
  return new Command('inspect')
    .summary('print a file of a data directory as text')
    .description(
      'Prints a journal, segment, index, catalogue or manifest as text; changes nothing.',
    )
    .argument('<file>', 'the file')
    .addHelpText(
      'after',
      helpAfter('', [
        'varve inspect data/journals/shard-00/000000000001.wal | head',
        'varve inspect data/streams/3f/orders-3f2a9c1b5d7e8f90/manifest.json',
      ]),
    )
    .action((file: string) => print(context, file))
}

async function print({ stdout, stderr }: CommandContext, file: string): Promise<void> {
  let damages = 0
  await inspect(
    { kind: 'inspect', file },
    {
      onText: text => write(stdout, `${text}\n`),
      onFinding: finding => {
        if (finding.severity === 'damage') damages += 1
        stderr.write(`${describeFinding(finding)}\n`)
      },
    },
  )
  if (damages > 0) throw new CommandFailure(`${countOf(damages, 'finding')} of damage in ${file}`)
}

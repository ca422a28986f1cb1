import { type Command, InvalidArgumentError, Option } from 'commander'
import {
  ClientConfig,
  type ConfigInput,
  DirectoryConfig,
  describeOptions,
  flagOf,
  parseConfig,
  readOptions,
  type ServeConfig,
  variableOf,
} from '../config.ts'
import { readJsonFile } from '../files.ts'
import { type CommandContext, CommandFailure, ExitCode } from './context.ts'

// The options of src/main/config.ts as flags, and what the flags of all commands share.

type Schema = Parameters<typeof describeOptions>[0]

/** Adds a flag for each option of `schema`, and `--config`. */
export function addConfigFlags(command: Command, schema: Schema): Command {
  for (const { option, placeholder, bounds, sentence, fallback, isFlag } of describeOptions(
    schema,
  )) {
    const flag = flagOf(option)
    const facts = [
      ...(isFlag || bounds === '' ? [] : [bounds]),
      ...(fallback === '' || isFlag ? [] : [`default ${fallback}`]),
      variableOf(option),
    ]
    const text = `${sentence} (${facts.join('; ')})`
    if (isFlag) {
      // Both, so that a flag overrides a variable or the file; shown is the one that departs from
      // the default.
      const [shown, hidden] = fallback === 'true' ? ['no-', ''] : ['', 'no-']
      command.addOption(new Option(`--${hidden}${flag}`).hideHelp())
      command.addOption(new Option(`--${shown}${flag}`, shown === '' ? text : `Turns off: ${text}`))
    } else command.addOption(new Option(`--${flag} <${placeholder}>`, text))
  }
  const text = 'JSON file with any of the options, in camelCase as keys (VARVE_CONFIG)'
  return command.addOption(new Option('--config <file>', text))
}

/** @throws ConfigError */
export function readServeConfig(command: Command, context: CommandContext): ServeConfig {
  return parseConfig(configInput(command, context))
}

/** @throws ConfigError */
export function readClientConfig(command: Command, context: CommandContext): ClientConfig {
  return readOptions(ClientConfig, configInput(command, context))
}

/** @throws ConfigError */
export function readDirectoryConfig(command: Command, context: CommandContext): { data: string } {
  return readOptions(DirectoryConfig, configInput(command, context))
}

function configInput(command: Command, { env }: CommandContext): ConfigInput {
  const given = command.opts<Record<string, unknown>>()
  const flags = Object.fromEntries(
    Object.entries(given).filter(([name]) => command.getOptionValueSource(name) === 'cli'),
  )
  const path = (flags['config'] as string | undefined) ?? env['VARVE_CONFIG']
  if (path === undefined || path === '') return { flags, env }
  try {
    return { flags, env, file: { path, values: readJsonFile(path) } }
  } catch (error) {
    throw new CommandFailure((error as Error).message, ExitCode.Usage, error)
  }
}

/** For a flag that takes an unsigned decimal number. */
export function integer(minimum: number, maximum = Number.MAX_SAFE_INTEGER) {
  return (written: string): number => {
    const value = /^\d{1,16}$/.test(written) ? Number(written) : Number.NaN
    if (value >= minimum && value <= maximum) return value
    const most = maximum === Number.MAX_SAFE_INTEGER ? '' : ` to ${maximum}`
    throw new InvalidArgumentError(`Expected a whole number, ${minimum}${most || ' or more'}.`)
  }
}

/** For a flag that takes an offset, or one end of the stream. */
export function position(written: string): number | 'start' | 'end' {
  if (written === 'start' || written === 'end') return written
  if (/^\d{1,16}$/.test(written) && Number.isSafeInteger(Number(written))) return Number(written)
  throw new InvalidArgumentError('Expected an offset, "start" or "end".')
}

export const AFTER_HELP =
  'go on only if the record before --from has this hash: the lastHash of an earlier page or message'

/** For a flag that takes the hash of a record. */
export function recordHash(written: string): string {
  if (/^[0-9a-f]{64}$/.test(written)) return written
  throw new InvalidArgumentError('Expected 64 lower-case hex digits.')
}

export function afterWithoutFrom(): CommandFailure {
  return new CommandFailure('--after needs --from with an offset', ExitCode.Usage)
}

/** What follows a command's options in its help: an explanation, then examples. */
export function helpAfter(explanation: string, examples: readonly string[]): string {
  return `${explanation}\nExamples:\n${examples.map(line => `  ${line}`).join('\n')}`
}

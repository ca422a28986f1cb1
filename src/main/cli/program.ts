import { Command } from 'commander'
import { StoreError } from '../../shared/errors.ts'
import { ConfigError } from '../config.ts'
import { appendCommand } from './append.ts'
import { type CommandContext, CommandFailure, ExitCode } from './context.ts'
import { inspectCommand } from './inspect.ts'
import { keysCommand } from './keys.ts'
import { readCommand } from './read.ts'
import { repairCommand } from './repair.ts'
import { serveCommand } from './serve.ts'
import { tailCommand } from './tail.ts'
import { verifyCommand } from './verify.ts'

const HELP = `
Exit codes: 0 done; 1 a failure, or something wrong was found; 2 not understood.
`

/** The whole command line; a usage error rejects with a CommanderError. */
export function buildProgram(context: CommandContext): Command {
  const program = new Command('varve')
    .description('Stream storage over HTTP and WebSocket: durable, hash-chained, verifiable.')
    .version(context.version, '--version', 'print the version')
    .showHelpAfterError('(--help says more)')
    .exitOverride()
    .configureOutput({
      writeOut: text => void context.stdout.write(text),
      writeErr: text => void context.stderr.write(text),
    })
    .configureHelp({ helpWidth: 100 })
    .addHelpText('after', HELP)
  const make = [
    serveCommand,
    appendCommand,
    readCommand,
    tailCommand,
    verifyCommand,
    repairCommand,
    inspectCommand,
    keysCommand,
  ]
  for (const makeCommand of make) {
    program.addCommand(makeCommand(context).copyInheritedSettings(program))
  }
  return program
}

/** What a failed command prints, and its exit code. */
export function describeError(error: unknown): { text: string; exitCode: ExitCode } {
  if (error instanceof CommandFailure) return { text: error.message, exitCode: error.exitCode }
  if (error instanceof ConfigError) {
    const text = error.message.replaceAll('\n', '\nvarve: ')
    return { text, exitCode: ExitCode.Usage }
  }
  if (error instanceof StoreError) {
    return { text: `${error.code}: ${error.message}`, exitCode: ExitCode.Failure }
  }
  if (error instanceof Error && isExpected(error)) {
    return { text: error.message, exitCode: ExitCode.Failure }
  }
  // A defect: the stack is what its report needs.
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { text, exitCode: ExitCode.Failure }
}

/** Of src/main/files.ts, or of the system. */
function isExpected(error: Error): boolean {
  return 'code' in error || (error.cause instanceof Error && 'code' in error.cause)
}

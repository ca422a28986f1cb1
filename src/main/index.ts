#!/usr/bin/env node
import { CommanderError } from 'commander'
import { type CommandContext, ExitCode } from './cli/context.ts'
import { buildProgram, describeError } from './cli/program.ts'
import { readVersion } from './files.ts'

// The `varve` command. What it needs of the process is handed to the commands from here.

const context: CommandContext = {
  version: readVersion(),
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  onSignal: listener => {
    process.on('SIGINT', listener).on('SIGTERM', listener)
    return () => void process.off('SIGINT', listener).off('SIGTERM', listener)
  },
  exit: code => process.exit(code),
}

// A reader that has seen enough (`varve read x | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? ExitCode.Ok : ExitCode.Failure)
})
process.stderr.on('error', () => undefined)

try {
  await buildProgram(context).parseAsync()
  process.exit(ExitCode.Ok)
} catch (error) {
  if (error instanceof CommanderError) {
    process.exit(error.exitCode === 0 ? ExitCode.Ok : ExitCode.Usage)
  }
  const { text, exitCode } = describeError(error)
  process.stderr.write(`varve: ${text}\n`)
  process.exit(exitCode)
}

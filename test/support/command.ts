import { Readable, Writable } from 'node:stream'
import { type CommandContext, ExitCode } from '../../src/main/cli/context.ts'
import { buildProgram, describeError } from '../../src/main/cli/program.ts'
import { CommanderError } from 'commander'

export type CommandResult = {
  readonly code: ExitCode
  readonly stdout: Buffer
  readonly stderr: string
}

export type CommandOptions = {
  /** Chunks of standard input, or all of it. */
  readonly input?: readonly (string | Buffer)[] | Readable
  readonly env?: Readonly<Record<string, string>>
  /** Resolves when the command is to be interrupted. */
  readonly interrupt?: Promise<unknown>
  readonly onOutput?: (output: Buffer) => void
}

/** Runs a command line in this process. */
export async function runCommand(
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  const context: CommandContext = {
    version: '1.2.3',
    env: options.env ?? {},
    stdin: openInput(options.input ?? []),
    stdout: collect(stdout, options.onOutput),
    stderr: collect(stderr),
    onSignal: listener => {
      options.interrupt?.then(() => listener('SIGINT')).catch(() => undefined)
      return () => undefined
    },
    exit: code => {
      throw new Error(`ended with ${code}`)
    },
  }
  let code: ExitCode = ExitCode.Ok
  try {
    await buildProgram(context).parseAsync(args, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) {
      code = error.exitCode === 0 ? ExitCode.Ok : ExitCode.Usage
    } else {
      const described = describeError(error)
      code = described.exitCode
      stderr.push(Buffer.from(described.text))
    }
  }
  return { code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() }
}

function openInput(input: NonNullable<CommandOptions['input']>): Readable {
  return input instanceof Readable ? input : Readable.from(input.map(chunk => Buffer.from(chunk)))
}

function collect(chunks: Buffer[], onChunk?: (chunk: Buffer) => void): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      onChunk?.(chunk)
      done()
    },
  })
}

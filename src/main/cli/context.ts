import type { Readable, Writable } from 'node:stream'

/** What a command has of the world. */
export type CommandContext = {
  readonly version: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: Output
  readonly stderr: Output
  /** Calls back at every SIGINT and SIGTERM; returns what ends that. */
  onSignal(listener: (signal: NodeJS.Signals) => void): () => void
  /** Ends the process at once. */
  exit(code: ExitCode): never
}

export type Output = Writable & { readonly isTTY?: boolean }

/** What a shell sees: done; failed, or something wrong was found; not understood. */
export const ExitCode = { Ok: 0, Failure: 1, Usage: 2 } as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

/** A command that ends with a code and one readable message. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure'
  readonly exitCode: ExitCode

  constructor(message: string, exitCode: ExitCode = ExitCode.Failure, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.exitCode = exitCode
  }
}

/** Writes, and waits until there is room for more. */
export async function write(output: Output, chunk: string | Uint8Array): Promise<void> {
  if (chunk.length === 0) return
  await new Promise<void>((resolve, reject) => {
    output.write(chunk, error => (error ? reject(error) : resolve()))
  })
}

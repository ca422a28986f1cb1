import { Command } from 'commander'
import type { Logger } from 'pino'
import { ServeConfig, unknownVariables } from '../config.ts'
import { openLog } from '../observe/log.ts'
import { type CommandContext, CommandFailure, ExitCode } from './context.ts'
import { addConfigFlags, helpAfter, readServeConfig } from './options.ts'

const HELP = `
Sizes are bytes, or have a unit: 64KiB, 16MiB, 1GiB (powers of 1024), 500KB, 64MB, 1GB (powers of
1000). Durations are milliseconds. An option is taken from its flag, else from its variable, else
from the config file, else it has its default.

Stops on SIGTERM and SIGINT: takes no new work, makes what it has durable, exits with 0. A second
signal ends it at once, with 1; nothing that was answered as durable is lost by that.
`

export function serveCommand(context: CommandContext): Command {
  const command = new Command('serve')
    .summary('run the service')
    .description('Serves the streams of a data directory over HTTP and WebSocket.')
  return addConfigFlags(command, ServeConfig)
    .addHelpText(
      'after',
      helpAfter(HELP, [
        'varve serve',
        'varve serve --data /var/lib/varve --port 4400 --log-format json',
        'VARVE_HOST=0.0.0.0 varve serve --open',
        'varve serve --config varve.json',
      ]),
    )
    .action(() => serve(context, readServeConfig(command, context)))
}

async function serve(context: CommandContext, config: ServeConfig): Promise<void> {
  const log = openLog(config, context.stdout)
  const ignored = unknownVariables(context.env)
  if (ignored.length > 0) log.warn({ ignored }, 'variables that are no options')
  const { stopped, endSignals } = waitForSignal(context, log)
  try {
    // Loaded here alone: the commands that talk to a server start faster without it.
    const { Service } = await import('../service.ts')
    const service = await Service.open(config, log).catch((error: unknown) => {
      throw describeStart(error, config)
    })
    const { url } = service
    log.info({ url, data: config.data, version: context.version }, `varve is serving ${url}`)
    log.info({ signal: await stopped }, 'stopping')
    await close(service, config.shutdownMs)
    log.info('stopped')
  } finally {
    endSignals()
  }
}

/** Resolves at the first signal; the second one ends the process. */
function waitForSignal(context: CommandContext, log: Logger) {
  let endSignals = () => {}
  const stopped = new Promise<NodeJS.Signals>(resolve => {
    let isStopping = false
    endSignals = context.onSignal(signal => {
      if (isStopping) {
        log.error({ signal }, 'stopped at once')
        context.exit(ExitCode.Failure)
      }
      isStopping = true
      resolve(signal)
    })
  })
  return { stopped, endSignals }
}

/** @throws CommandFailure when it takes longer than `shutdownMs` */
async function close(service: { close(): Promise<void> }, shutdownMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    const reason = `it did not stop within ${shutdownMs} ms; the next start recovers`
    timer = setTimeout(() => reject(new CommandFailure(reason)), shutdownMs)
  })
  try {
    await Promise.race([service.close(), limit])
  } finally {
    clearTimeout(timer)
  }
}

/** Says in words why the service cannot listen; any other error says it itself. */
function describeStart(error: unknown, { host, port }: ServeConfig): unknown {
  const { code, message, syscall } = error as NodeJS.ErrnoException
  // A file can be refused with the same codes as a port.
  const reason = LISTEN_CALLS.has(syscall ?? '') ? LISTEN_REASONS[code ?? ''] : undefined
  if (reason === undefined) return error
  return new CommandFailure(
    `cannot listen on ${host}:${port}: ${reason}`,
    ExitCode.Failure,
    message,
  )
}

const LISTEN_CALLS: ReadonlySet<string> = new Set(['listen', 'bind', 'getaddrinfo'])

const LISTEN_REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use; choose another with --port, or 0 for any free one',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'there is no such host',
  EACCES: 'the system does not allow this port',
}

import { type DestinationStream, type Logger, pino } from 'pino'
import pinoPretty from 'pino-pretty'
import type { ServeConfig } from '../config.ts'

/** Lines as JSON with ISO times; readable ones where the format asks for it, or on a terminal. */
export function openLog(
  { logLevel, logFormat }: Pick<ServeConfig, 'logLevel' | 'logFormat'>,
  output: DestinationStream & { readonly isTTY?: boolean },
): Logger {
  const isPretty = logFormat === 'pretty' || (logFormat === 'auto' && output.isTTY === true)
  const options = { level: logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime }
  if (!isPretty) return pino(options, output)
  const pretty = pinoPretty({
    colorize: output.isTTY === true,
    translateTime: 'SYS:HH:MM:ss.l',
    destination: output as DestinationStream & NodeJS.WritableStream,
  })
  return pino(options, pretty)
}

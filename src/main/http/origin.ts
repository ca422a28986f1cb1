import type { IncomingHttpHeaders } from 'node:http'
import { StoreError } from '../../shared/errors.ts'

/**
 * A browser opens WebSockets for any page, and says whose page it is; only the service's own and
 * those allowed may. Other clients send no Origin.
 * @throws StoreError forbidden
 */
export function checkOrigin(
  { origin, host }: IncomingHttpHeaders,
  allowedOrigins: readonly string[],
): void {
  if (origin === undefined || allowedOrigins.includes('*')) return
  if (allowedOrigins.includes(origin) || (host !== undefined && hostOf(origin) === host)) return
  throw new StoreError('forbidden', 'pages of this origin may not open a WebSocket here')
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}

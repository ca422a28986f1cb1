import type { IncomingHttpHeaders } from 'node:http'
import { StoreError } from '../../shared/errors.ts'

// What api.md describes and this version does not serve yet.

export function notOffered(what: string): StoreError {
  return new StoreError('invalid_request', `${what} are not offered by this version`)
}

/** @throws StoreError invalid_request when the request names a producer */
export function refuseProducer(headers: IncomingHttpHeaders): void {
  const named =
    headers['producer-id'] !== undefined ||
    headers['producer-epoch'] !== undefined ||
    headers['producer-seq'] !== undefined
  if (named) throw notOffered('producers')
}

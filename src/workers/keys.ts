import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { StoreError } from '../shared/errors.ts'
import { latin1ToHex } from '../shared/format/bytes.ts'
import { HEADER_PATH } from '../shared/format/paths.ts'
import type { KeysMessage, KeysRequest } from '../shared/protocol/keys.ts'
import { type Disk, DiskError } from './disk/disk.ts'
import { NodeDisk } from './disk/node-disk.ts'
import { systemEnvironment } from './environment.ts'
import { hasHeader } from './recovery/directory-header.ts'
import { listPublicKeys, rotateSigningKey, storedKeyId } from './streams/key-files.ts'

// Entry of the thread of the `keys` commands: one request, one message, the end.

const { kind, data } = workerData as KeysRequest
const port = parentPort as MessagePort

try {
  port.postMessage(answer(new NodeDisk(data)))
} catch (error) {
  if (!(error instanceof StoreError || error instanceof DiskError)) throw error
  port.postMessage({ kind: 'failed', reason: error.message } satisfies KeysMessage)
}

function answer(disk: Disk): KeysMessage {
  if (!hasHeader(disk)) {
    return { kind: 'failed', reason: `this is no data directory: it has no ${HEADER_PATH}` }
  }
  const before = storedKeyId(disk)
  if (kind === 'list') return { kind: 'keys', ...listPublicKeys(disk, before) }
  const { keyId } = rotateSigningKey(disk, systemEnvironment)
  const replaced = before === undefined ? {} : { replaced: latin1ToHex(before) }
  return { kind: 'keys', ...listPublicKeys(disk, keyId), ...replaced }
}

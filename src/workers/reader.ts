import { move, transferableSymbol, valueSymbol } from 'piscina'
import { StoreError } from '../shared/errors.ts'
import { pageOf } from '../shared/format/render.ts'
import type { ReaderReply, ReaderRequest } from '../shared/protocol/reader.ts'
import { DiskError } from './disk/disk.ts'
import { NodeDisk } from './disk/node-disk.ts'
import { runStepsTogether } from './disk/sync-steps.ts'
import { systemEnvironment } from './environment.ts'
import { openDataDirectory } from './recovery/data-directory.ts'
import { JournalDamage } from './recovery/journal-walk.ts'
import { reshard } from './recovery/reshard.ts'
import { listCheckpoints } from './streams/checkpoint-list.ts'
import { listPublicKeys, loadSigningKey } from './streams/key-files.ts'
import { readStream, verifyStream } from './streams/read-stream.ts'

/** Entry of a reader thread: one request, one reply. */
export default async function answer(request: ReaderRequest): Promise<ReaderReply> {
  try {
    return moving(await serve(request))
  } catch (error) {
    if (error instanceof StoreError) return { kind: 'error', error: error.toPlain() }
    if (error instanceof JournalDamage) {
      const { message } = error
      return { kind: 'error', error: new StoreError('shard_failed', message).toPlain() }
    }
    if (!(error instanceof DiskError)) return { kind: 'defect', reason: explain(error) }
    return { kind: 'error', error: describe(request, error).toPlain() }
  }
}

/** A page's memory moves to the other thread: a copy would double what a long one takes. */
function moving(reply: ReaderReply): ReaderReply {
  if (reply.kind !== 'page') return reply
  const { buffer, byteLength } = reply.page.payload
  // Short ones lie in memory that Node shares among them.
  if (byteLength < buffer.byteLength) return reply
  const message = { [transferableSymbol]: buffer, [valueSymbol]: reply }
  return move(message) as unknown as ReaderReply
}

function explain(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** A path reaches who starts the service, and no client. */
function describe({ kind }: ReaderRequest, error: DiskError): StoreError {
  if (kind === 'open') {
    return new StoreError('invalid_request', `the data directory cannot be used: ${error.message}`)
  }
  const fields = { errno: error.code }
  return error.isForSpace
    ? new StoreError('overloaded', 'too many files are open', fields)
    : new StoreError('internal', 'the disk could not be read', fields)
}

async function serve(request: ReaderRequest): Promise<ReaderReply> {
  const disk = new NodeDisk(request.data)
  switch (request.kind) {
    case 'open': {
      const opened = openDataDirectory(disk, systemEnvironment, request.shards ?? 1)
      const { header, mended } = opened
      const { shards = header.shards, options } = request
      const resharded =
        shards === header.shards
          ? undefined
          : await runStepsTogether(
              step => disk.syncTogether(step),
              reshard(disk, systemEnvironment, header, shards, options),
            )
      const { pem, keyId } = loadSigningKey(disk, systemEnvironment, request.signingKey)
      return { kind: 'opened', shards, mended, resharded, signingKey: pem, keyId }
    }
    case 'read': {
      const { plan } = request
      const { selection, staleIndex, isManifestStale, ...proof } = readStream(
        disk,
        plan,
        request.request,
      )
      const page = pageOf(plan, selection, request.request, proof)
      return { kind: 'page', page, staleIndex, isManifestStale }
    }
    case 'verify':
      return {
        kind: 'verified',
        report: verifyStream(disk, request.plan, request.from, request.to),
      }
    case 'checkpoints':
      return {
        kind: 'checkpoints',
        page: listCheckpoints(disk, request.plan, request.from, request.limit),
      }
    case 'keys':
      return { kind: 'keys', ...listPublicKeys(disk, request.activeKeyId) }
  }
}

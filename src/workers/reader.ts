import { StoreError } from '../shared/errors.ts'
import { renderRecords } from '../shared/format/render.ts'
import type { ReaderReply, ReaderRequest } from '../shared/protocol/reader.ts'
import { DiskError } from './disk/disk.ts'
import { NodeDisk } from './disk/node-disk.ts'
import { systemEnvironment } from './environment.ts'
import { openDataDirectory } from './recovery/data-directory.ts'
import { readStream, verifyStream } from './streams/read-stream.ts'

/** Entry of a reader thread: one request, one reply. */
export default function answer(request: ReaderRequest): ReaderReply {
  try {
    return serve(request)
  } catch (error) {
    if (error instanceof StoreError) return { kind: 'error', error: error.toPlain() }
    if (!(error instanceof DiskError)) throw error
    const failure = new StoreError('internal', 'the disk could not be read', { errno: error.code })
    return { kind: 'error', error: failure.toPlain() }
  }
}

function serve(request: ReaderRequest): ReaderReply {
  const disk = new NodeDisk(request.data)
  switch (request.kind) {
    case 'open': {
      const { shards } = openDataDirectory(disk, systemEnvironment, request.shards)
      return { kind: 'opened', shards }
    }
    case 'read': {
      const { plan } = request
      const { selection, staleIndex } = readStream(disk, plan, request.request)
      const { records, firstOffset, nextOffset } = selection
      const payload = renderRecords(records, request.request)
      const page = {
        firstOffset,
        nextOffset,
        tailOffset: plan.nextOffset,
        closed: plan.closed,
        count: records.length,
        payload,
      }
      return { kind: 'page', page, staleIndex }
    }
    case 'verify':
      return {
        kind: 'verified',
        report: verifyStream(disk, request.plan, request.from, request.to),
      }
  }
}

import {
  BLOCK_HEADER_BYTES,
  BlockFlag,
  type BlockHeader,
  blockBodyChecks,
  blockBytes,
  decodeBlockHeader,
} from '../../shared/format/block.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import {
  decodeFrame,
  type Frame,
  FrameFlag,
  type FrameTransaction,
} from '../../shared/format/frame.ts'
import { decodeJournalHeader } from '../../shared/format/journal-header.ts'
import { decodeOperation, type Operation, OperationType } from '../../shared/format/operation.ts'
import { decodeRecord } from '../../shared/format/record.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import type { Producer } from '../../shared/protocol/streams.ts'
import type { FileWindow } from './file-window.ts'
import type { Listing } from './listing.ts'
import { describe, describeRecord, nameFlags, nameOf, quote, time } from './text.ts'

export function inspectJournal(file: FileWindow, listing: Listing): void {
  const header = decodeJournalHeader(file.read(0, PAGE_BYTES))
  if (header === undefined) {
    listing.damage([0, PAGE_BYTES], 'the header does not check, or is of a newer format')
  } else {
    const { salt, ...fields } = header
    listing.line(describe('header', 0, { ...fields, salt: latin1ToHex(salt) }))
  }
  inspectBlocks(file, PAGE_BYTES, header?.salt, listing)
}

/** @param salt of this use of the file; blocks with another one are of an earlier use */
export function inspectBlocks(
  file: FileWindow,
  from: number,
  salt: string | undefined,
  listing: Listing,
): void {
  const empty = new EmptyPages(listing)
  for (let at = from; at < file.size; ) {
    const page = file.read(at, PAGE_BYTES)
    const header = decodeBlockHeader(page, 0)
    if (header === undefined) {
      empty.take(
        at,
        at + page.length,
        page.every(byte => byte === 0),
      )
      at += PAGE_BYTES
      continue
    }
    empty.finish()
    const isOld = salt !== undefined && header.salt !== salt
    const end = at + blockBytes(header.bodyLength)
    const body = end <= file.size ? file.read(at, end - at) : Buffer.alloc(0)
    listing.line(describeBlock(header, at, isOld))
    if (blockBodyChecks(body, 0, header)) {
      new BlockListing(body, at, header, listing).run()
      at = end
    } else {
      const last = Math.min(end, file.size)
      if (isOld) listing.line('  not whole any more')
      else listing.damage([at, last], `block ${header.number} does not check`)
      at += PAGE_BYTES
    }
  }
  empty.finish()
}

/** Pages without a block, said once for as many as follow one another. */
class EmptyPages {
  readonly #listing: Listing
  #from = 0
  #to = 0
  #isZero = true

  constructor(listing: Listing) {
    this.#listing = listing
  }

  take(from: number, to: number, isZero: boolean): void {
    if (this.#to === this.#from || isZero !== this.#isZero) {
      this.finish()
      this.#from = from
      this.#isZero = isZero
    }
    this.#to = to
  }

  finish(): void {
    if (this.#to > this.#from) {
      const what = this.#isZero ? 'zeros' : 'no block, of an earlier use or damaged'
      this.#listing.line(`bytes ${this.#from} to ${this.#to}: ${what}`)
    }
    this.#from = this.#to
  }
}

function describeBlock(header: BlockHeader, at: number, isOld: boolean): string {
  const { flags, salt, previousHash, bodyChecksum, ...fields } = header
  return describe(isOld ? 'block of an earlier use' : 'block', at, {
    ...fields,
    flags: nameFlags(BlockFlag, flags),
    bodyChecksum: bodyChecksum.toString(16).padStart(8, '0'),
    salt: latin1ToHex(salt),
    previous: latin1ToHex(previousHash),
  })
}

/** What is in one whole block. */
class BlockListing {
  readonly #bytes: Buffer
  /** In the file. */
  readonly #at: number
  readonly #end: number
  readonly #listing: Listing

  constructor(bytes: Buffer, at: number, header: BlockHeader, listing: Listing) {
    this.#bytes = bytes
    this.#at = at
    this.#end = BLOCK_HEADER_BYTES + header.bodyLength
    this.#listing = listing
  }

  run(): void {
    for (let at = BLOCK_HEADER_BYTES; at < this.#end; ) {
      const frame = decodeFrame(this.#bytes, at, this.#end)
      if (frame === undefined) return this.#damage(at, this.#end, 'a frame does not check')
      const flags = nameFlags(FrameFlag, frame.flags)
      const payload = frame.end - frame.payloadAt
      this.#line(
        1,
        describe('frame', this.#at + at, {
          flags,
          ...(frame.transaction && transactionOf(frame.transaction, frame.flags)),
          ...frame.witness,
          payload,
          time: time(frame.timestamp),
        }),
      )
      this.#listOperations(frame)
      at = frame.end
    }
  }

  #listOperations(frame: Frame): void {
    for (let at = frame.payloadAt; at < frame.end; ) {
      const operation = decodeOperation(this.#bytes, at, frame.end)
      if (operation === undefined) {
        return this.#damage(at, frame.end, 'an operation makes no sense')
      }
      const kind = nameOf(OperationType, operation.type).toLowerCase()
      const id = latin1ToHex(operation.streamId)
      this.#line(2, describe(kind, this.#at + at, { id, ...fieldsOf(operation) }))
      if (operation.type === OperationType.Append) this.#listRecords(operation)
      at = operation.end
    }
  }

  #listRecords(append: Extract<Operation, { type: typeof OperationType.Append }>): void {
    for (let at = append.recordsAt; at < append.end; ) {
      const record = decodeRecord(this.#bytes, at)
      if (record === undefined || record.end > append.end) {
        return this.#damage(at, append.end, 'a record does not check')
      }
      this.#line(3, describeRecord(this.#bytes, record, this.#at + at))
      at = record.end
    }
  }

  #line(depth: number, text: string): void {
    this.#listing.line('  '.repeat(depth) + text)
  }

  #damage(from: number, to: number, reason: string): void {
    this.#listing.damage([this.#at + from, this.#at + to], reason)
  }
}

function transactionOf(
  { id, coordinator }: FrameTransaction,
  flags: FrameFlag,
): Record<string, string | number> {
  const transaction = id.toString(16).padStart(16, '0')
  return flags === FrameFlag.Pending ? { transaction, coordinator } : { transaction }
}

function producerOf({ id, epoch, seq }: Producer): string {
  return `${quote(id)} epoch ${epoch} seq ${seq}`
}

function fieldsOf(operation: Operation): Record<string, string | number> {
  switch (operation.type) {
    case OperationType.Create:
      return {
        name: quote(operation.name),
        createdAt: time(operation.createdAt),
        config: quote(operation.config),
      }
    case OperationType.Configure:
      return { config: quote(operation.config) }
    case OperationType.Append:
      return {
        firstOffset: operation.firstOffset,
        count: operation.count,
        ...(operation.producer && { producer: producerOf(operation.producer) }),
        chainHead: latin1ToHex(operation.chainHead),
      }
    case OperationType.Reference: {
      const { producer, chainHead, recordHash, ...fields } = operation.reference
      return {
        ...fields,
        producer: producer?.id ?? '',
        chainHead: latin1ToHex(chainHead),
        recordHash: latin1ToHex(recordHash),
      }
    }
    case OperationType.Trim:
      return { before: operation.before }
    case OperationType.Close:
    case OperationType.Delete:
      return {}
  }
}

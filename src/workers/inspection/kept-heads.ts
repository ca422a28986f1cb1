import { hexToLatin1, latin1ToHex } from '../../shared/format/bytes.ts'
import {
  CHANGE_NAMES,
  type CheckpointFields,
  signedBytes,
  type StateChange,
} from '../../shared/format/checkpoint.ts'
import type { Finding, KeptHead } from '../../shared/protocol/inspection.ts'
import type { Checkpoint } from '../../shared/protocol/streams.ts'
import { keyIdOf, verifySignature } from '../../shared/signing.ts'

// Signed checkpoints that somebody kept outside of the data directory. A chain does not reveal that
// its tail was cut, nor that all of it was made anew (faults.md, rule 14); these do.

/** What is known of a stream that heads were kept of. */
export class HeadWatch {
  readonly #heads: readonly Checkpoint[]
  /** By offset: chain hashes there, before and behind the checkpoints that lie there. */
  readonly #hashes = new Map<number, Set<string>>()
  readonly #signatures = new Set<string>()
  readonly #lost: [from: number, to: number][] = []
  #start = Number.POSITIVE_INFINITY
  #end = 0

  constructor(heads: readonly Checkpoint[]) {
    this.#heads = heads
    for (const { offset } of heads) this.#hashes.set(offset, new Set())
  }

  /** The chain stands before record `offset` with this hash. */
  pass(offset: number, hash: string): void {
    this.#start = Math.min(this.#start, offset)
    this.#end = Math.max(this.#end, offset)
    this.#hashes.get(offset)?.add(hash)
  }

  /** A sound checkpoint lies before record `offset`. */
  sign(offset: number, signature: string): void {
    if (this.#hashes.has(offset)) this.#signatures.add(`${offset} ${latin1ToHex(signature)}`)
  }

  /** Records of `[from, to)` cannot be read. */
  lose(from: number, to: number): void {
    this.#end = Math.max(this.#end, to)
    this.#lost.push([from, to])
  }

  /** What the log says to one of the heads; undefined: it is as it was signed. */
  hold(head: Checkpoint): Pick<Finding, 'severity' | 'reason' | 'offsets'> | undefined {
    const { offset } = head
    const damage = (reason: string, offsets: readonly [number, number]) => ({
      severity: 'damage' as const,
      reason,
      offsets,
    })
    if (offset > this.#end) {
      const reason = `the log is shorter than the head: it ends at ${this.#end}`
      return damage(reason, [this.#end, offset])
    }
    if (offset < this.#start || (offset === this.#start && offset > 0)) {
      const reason = `the log was trimmed past the head: it begins at ${this.#start}`
      return { severity: 'note', reason }
    }
    const from = this.#lastHeld(offset)
    if (this.#hashes.get(offset)?.has(hexToLatin1(head.chainHead)) === true) {
      return this.#isSigned(head)
        ? undefined
        : damage('the checkpoint that the head is of is not in the log', [from, offset])
    }
    const isLost = this.#lost.some(([lostFrom, to]) => lostFrom <= offset && offset <= to)
    return isLost
      ? damage('the records before the head cannot be read', [from, offset])
      : damage('the log differs from the head: records before it were changed', [from, offset])
  }

  /** Offset of the highest head below `offset` that the log agrees with, or where it begins. */
  #lastHeld(offset: number): number {
    const held = this.#heads.filter(head => head.offset < offset && this.#isSigned(head))
    return Math.max(this.#start, ...held.map(head => head.offset))
  }

  #isSigned({ offset, signature }: Checkpoint): boolean {
    return this.#signatures.has(`${offset} ${signature}`)
  }
}

export class KeptHeads {
  readonly #heads: readonly KeptHead[]
  /** Raw, latin1; undefined: those of the data directory. */
  readonly #given: readonly string[] | undefined
  /** By stream id, latin1. */
  readonly #watches = new Map<string, HeadWatch>()
  /** Name to id, latin1, of the streams that there are. */
  readonly #streams = new Map<string, string>()

  /** @param keys raw public keys, 64 hex digits each; none: those of the directory are believed */
  constructor(heads: readonly KeptHead[], keys: readonly string[]) {
    this.#heads = heads
    this.#given = keys.length === 0 ? undefined : keys.map(hexToLatin1)
    const byStream = new Map<string, Checkpoint[]>()
    for (const { checkpoint } of heads) {
      const id = hexToLatin1(checkpoint.streamId)
      byStream.set(id, [...(byStream.get(id) ?? []), checkpoint])
    }
    for (const [id, checkpoints] of byStream) this.#watches.set(id, new HeadWatch(checkpoints))
  }

  get count(): number {
    return this.#heads.length
  }

  /** @param streamId latin1 */
  watch(streamId: string): HeadWatch | undefined {
    return this.#watches.get(streamId)
  }

  noteStream(name: string, streamId: string): void {
    this.#streams.set(name, streamId)
  }

  forgetStream(name: string, streamId: string): void {
    if (this.#streams.get(name) === streamId) this.#streams.delete(name)
  }

  /**
   * Holds every head against what was seen.
   * @param keys raw public keys of the directory by id, all latin1
   */
  *findings(keys: ReadonlyMap<string, string>): Generator<Finding> {
    const trusted =
      this.#given === undefined ? keys : new Map(this.#given.map(key => [keyIdOf(key), key]))
    if (this.#heads.length > 0 && this.#given === undefined) {
      const reason =
        'the signatures of kept heads are held against the keys in this directory, which whoever ' +
        'changed it may have changed too: give the key that was kept with them (--key)'
      yield { file: 'keys', reason, severity: 'note' }
    }
    for (const { source, checkpoint } of this.#heads) {
      const found = this.#hold(checkpoint, trusted)
      if (found !== undefined) yield { file: source, stream: checkpoint.stream, ...found }
    }
  }

  #hold(
    head: Checkpoint,
    keys: ReadonlyMap<string, string>,
  ): Pick<Finding, 'severity' | 'reason' | 'offsets'> | undefined {
    const { stream, keyId, offset } = head
    const damage = (reason: string) => ({
      severity: 'damage' as const,
      reason: `${reason} (head at offset ${offset})`,
    })
    const publicKey = keys.get(hexToLatin1(keyId))
    if (publicKey === undefined) {
      const where = this.#given === undefined ? 'in keys/' : 'the one given'
      return damage(`the head is signed with key ${keyId}, which is not ${where}`)
    }
    const message = signedBytes(fieldsOf(head))
    if (!verifySignature(publicKey, message, hexToLatin1(head.signature))) {
      return damage(`the signature of the head is not that of key ${keyId}`)
    }
    const id = this.#streams.get(stream)
    if (id === undefined) return damage('the stream is not there')
    if (latin1ToHex(id) !== head.streamId) {
      return damage(`the stream is another one of the same name: its id is ${latin1ToHex(id)}`)
    }
    return this.watch(id)?.hold(head)
  }
}

function fieldsOf(head: Checkpoint): CheckpointFields {
  const { offset, recordCount, timestamp, trimPoint, change } = head
  return {
    streamId: hexToLatin1(head.streamId),
    offset,
    recordCount,
    timestamp,
    chainHead: hexToLatin1(head.chainHead),
    trimPoint: { offset: trimPoint.offset, hash: hexToLatin1(trimPoint.chainHead) },
    stateHash: hexToLatin1(head.stateHash),
    change: CHANGE_NAMES.indexOf(change) as StateChange,
  }
}

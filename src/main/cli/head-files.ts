import { z } from 'zod'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import { CHANGE_NAMES } from '../../shared/format/checkpoint.ts'
import type { KeptHead } from '../../shared/protocol/inspection.ts'
import { publicKeyFromPem } from '../../shared/signing.ts'
import { readJsonFile, readTextFile } from '../files.ts'
import { CommandFailure, ExitCode } from './context.ts'

const hex = (digits: number) =>
  z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`), 'expected hex')
const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)

/** A checkpoint as the service gives it. What else is in it does not matter. */
const Head = z
  .object({
    stream: z.string(),
    streamId: hex(32),
    offset: count,
    chainHead: hex(64),
    recordCount: count,
    timestamp: z.iso.datetime(),
    /** What was signed has µs; a time on the wire has not. */
    timestampMicros: count.optional(),
    trimPoint: z.object({ offset: count, chainHead: hex(64) }),
    stateHash: hex(64),
    change: z.enum(CHANGE_NAMES),
    signature: hex(128),
    keyId: hex(32),
  })
  .transform(({ timestamp, timestampMicros, ...head }) => ({
    ...head,
    timestamp: timestampMicros ?? Date.parse(timestamp) * 1000,
  }))

/**
 * The checkpoints in a file: one as a POST gave it, or the answer of a GET.
 * @throws CommandFailure
 */
export function readHeads(path: string): KeptHead[] {
  const content = readJson(path)
  const list = z.object({ checkpoints: z.array(z.unknown()) }).safeParse(content)
  const heads = list.success ? list.data.checkpoints : [content]
  if (heads.length === 0) throw unusable(path, 'it has no checkpoints')
  return heads.map((head, index) => {
    const parsed = Head.safeParse(head)
    if (parsed.success) return { source: path, checkpoint: parsed.data }
    const issue = parsed.error.issues[0]
    const where = list.success ? `checkpoint ${index}: ` : ''
    throw unusable(path, `${where}${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`)
  })
}

/** The raw public key, 64 hex digits, of a file in SPKI PEM. @throws CommandFailure */
export function readPublicKey(path: string): string {
  const publicKey = publicKeyFromPem(readText(path))
  if (publicKey === undefined) throw unusable(path, 'it is no Ed25519 public key in PEM')
  return latin1ToHex(publicKey)
}

function readJson(path: string): unknown {
  return read(() => readJsonFile(path))
}

function readText(path: string): string {
  return read(() => readTextFile(path))
}

function read<Value>(act: () => Value): Value {
  try {
    return act()
  } catch (error) {
    throw new CommandFailure((error as Error).message, ExitCode.Usage, error)
  }
}

function unusable(path: string, reason: string): CommandFailure {
  return new CommandFailure(`${path} cannot be used: ${reason}`, ExitCode.Usage)
}

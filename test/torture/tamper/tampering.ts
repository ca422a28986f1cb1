import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { usedBytes } from './store.ts'

/** What a tampering works on: one file or directory of a store, and where others like it are. */
export type Target = {
  readonly data: string
  /** Relative to the data directory. */
  readonly path: string
  /** The same kind of file of another stream or shard. */
  readonly twin: string | undefined
  /** The store as it was earlier. */
  readonly early: string
}

/** One way to damage a file; false when it does not apply to this one. */
export type Tampering = {
  readonly name: string
  /** Root notices no permissions, so the store has to be another user's. */
  readonly needsUser?: boolean
  apply(target: Target): boolean
}

const PAGE = 4096
/** Of a record: `VRCD`, then lengths; see the format document. */
const RECORD_MAGIC = 0x44435256
const RECORD_HEADER_BYTES = 68
/** Checksum and end mark. */
const RECORD_TRAILER_BYTES = 8

const EXCHANGED = 'exchanged with another'
const LINKED = 'a symlink to another'
/** Those after which two streams or shards have files of each other, or one file for both. */
export const TWO_SIDED: readonly string[] = [EXCHANGED, LINKED]

/** Ways that fit any file. */
export const TAMPERINGS: readonly Tampering[] = [
  { name: 'removed', apply: target => change(target, path => rmSync(path, { recursive: true })) },
  { name: 'emptied', apply: target => changeFile(target, path => truncateSync(path, 0)) },
  {
    name: 'truncated',
    apply: target =>
      changeFile(target, path => truncateSync(path, Math.floor(usedBytes(path) / 2))),
  },
  {
    name: 'truncated by a byte',
    apply: target => changeFile(target, path => truncateSync(path, usedBytes(path) - 1)),
  },
  { name: 'first byte flipped', apply: target => flip(target, () => 0) },
  { name: 'middle flipped', apply: target => flip(target, used => Math.floor(used / 2)) },
  { name: 'last byte flipped', apply: target => flip(target, used => used - 1) },
  { name: 'tail zeroed', apply: zeroTail },
  { name: 'tail of noise', apply: addNoise },
  { name: 'a directory instead', apply: target => changeFile(target, replaceByDirectory) },
  { name: EXCHANGED, apply: exchange },
  { name: 'a stale copy', apply: putBack },
  { name: 'moved behind a symlink', apply: target => change(target, moveBehindLink) },
  { name: 'a symlink to nowhere', apply: target => change(target, linkToNowhere) },
  { name: LINKED, apply: linkToTwin },
  {
    name: 'no permissions',
    needsUser: true,
    apply: target => change(target, path => chmodSync(path, 0)),
  },
]

/** Rewrites the body of one record in the middle of a segment, and repairs its checksum. */
export const REWRITE: Tampering = {
  name: 'a record rewritten',
  apply: target =>
    changeBytes(target, bytes => {
      const [at, end] = middleRecord(bytes)
      const body = at + RECORD_HEADER_BYTES + bytes.readUInt16LE(at + 28)
      bytes[body] = (bytes[body] ?? 0) ^ 1
      const checksum = end - RECORD_TRAILER_BYTES
      bytes.writeUInt32LE(crc32(bytes.subarray(at, checksum)), checksum)
    }),
}

/** Zeroes one page in the middle of what was written, with sound pages after it. */
export const HOLE: Tampering = {
  name: 'a page zeroed',
  apply: target =>
    changeBytes(target, bytes => {
      const middle = Math.floor(usedBytes(join(target.data, target.path)) / 2)
      const from = middle - (middle % PAGE)
      bytes.fill(0, from, Math.min(from + PAGE, bytes.length))
    }),
}

function middleRecord(bytes: Buffer): [start: number, end: number] {
  const places: [number, number][] = []
  for (let at = 0; at + RECORD_HEADER_BYTES <= bytes.length; ) {
    if (bytes.readUInt32LE(at) !== RECORD_MAGIC) throw new Error(`no record at byte ${at}`)
    const length = bytes.readUInt32LE(at + 4) + bytes.readUInt16LE(at + 28)
    const end = at + RECORD_HEADER_BYTES + length + RECORD_TRAILER_BYTES
    if (bytes[at + 24] === 0) places.push([at, end])
    at = end
  }
  return places[Math.floor(places.length / 2)] as [number, number]
}

function change({ data, path }: Target, how: (path: string) => void): boolean {
  how(join(data, path))
  return true
}

function changeFile(target: Target, how: (path: string) => void): boolean {
  return statSync(join(target.data, target.path)).isFile() && change(target, how)
}

function changeBytes(target: Target, how: (bytes: Buffer) => void): boolean {
  return changeFile(target, path => {
    const bytes = readFileSync(path)
    how(bytes)
    writeFileSync(path, bytes)
  })
}

function flip(target: Target, where: (used: number) => number): boolean {
  return changeBytes(target, bytes => {
    const at = Math.max(0, where(usedBytes(join(target.data, target.path))))
    bytes[at] = (bytes[at] ?? 0) ^ 0x10
  })
}

/**
 * Zeroes the last third of what was written. Of the newest journal file this takes back what only
 * it holds, which nothing can tell from a store that never had it: it is left to other files.
 */
function zeroTail(target: Target): boolean {
  return changeBytes(target, bytes => {
    const used = usedBytes(join(target.data, target.path))
    bytes.fill(0, Math.floor((used * 2) / 3), used)
  })
}

function addNoise(target: Target): boolean {
  return changeFile(target, path => {
    const noise = Buffer.from(Array.from({ length: 1000 }, (_, at) => (at * 37 + 11) % 251))
    writeFileSync(path, Buffer.concat([readFileSync(path), noise]))
  })
}

function replaceByDirectory(path: string): void {
  rmSync(path)
  mkdirSync(path)
}

/** The content stays what it was. */
function moveBehindLink(path: string): void {
  const moved = `${path}.moved`
  renameSync(path, moved)
  symlinkSync(moved, path)
}

function linkToNowhere(path: string): void {
  rmSync(path, { recursive: true })
  symlinkSync(`${path}.nowhere`, path)
}

function linkToTwin({ data, path, twin }: Target): boolean {
  if (twin === undefined) return false
  rmSync(join(data, path), { recursive: true })
  symlinkSync(join(data, twin), join(data, path))
  return true
}

function exchange(target: Target): boolean {
  const { data, path, twin } = target
  if (twin === undefined) return false
  const [one, other, aside] = [path, twin, `${path}.aside`].map(name => join(data, name)) as [
    string,
    string,
    string,
  ]
  renameSync(one, aside)
  renameSync(other, one)
  renameSync(aside, other)
  return true
}

function putBack({ data, path, early }: Target): boolean {
  const [from, to] = [join(early, path), join(data, path)]
  if (!existsSync(from)) return false
  rmSync(to, { recursive: true })
  cpSync(from, to, { recursive: true })
  return true
}

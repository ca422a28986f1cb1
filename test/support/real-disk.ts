import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { QUARANTINE_PATH, STREAMS_PATH } from '../../src/shared/format/paths.ts'
import { NodeDisk } from '../../src/workers/disk/node-disk.ts'
import type { FlatDisk } from './flat-disk.ts'

/** A copy of a store in files, where a path can be of the wrong kind. */
export type RealStore = {
  readonly disk: NodeDisk
  /** Puts an empty directory in the place of whatever is there. */
  readonly makeDirectory: (path: string) => void
  /** Puts a file in the place of whatever is there. */
  readonly makeFile: (path: string) => void
  readonly remove: (path: string) => void
}

export function onRealDisk(flat: FlatDisk, use: (store: RealStore) => void): void {
  const root = mkdtempSync(join(tmpdir(), 'varve-real-disk-'))
  const remove = (path: string) => rmSync(join(root, path), { recursive: true, force: true })
  try {
    for (const path of [STREAMS_PATH, QUARANTINE_PATH]) mkdirSync(join(root, path))
    for (const path of flat.paths()) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), flat.content(path))
    }
    use({
      disk: new NodeDisk(root),
      makeDirectory: path => {
        remove(path)
        mkdirSync(join(root, path))
      },
      makeFile: path => {
        remove(path)
        writeFileSync(join(root, path), 'x')
      },
      remove,
    })
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

import { streamIdInName, streamPrefixPath } from '../../shared/format/paths.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { removeTree } from '../disk/files.ts'
import type { Steps } from '../disk/sync-steps.ts'

/**
 * Removes files that no commit names any more. What cannot be removed is noted, never an error: it
 * counts for nothing where it lies. Only a failed sync is one.
 */
export class Removal {
  readonly #disk: Disk
  readonly #changed = new Set<string>()
  /** Paths of the files that went. */
  readonly removed: string[] = []
  /** What could not be removed, and why. */
  readonly notes: string[] = []

  constructor(disk: Disk) {
    this.#disk = disk
  }

  /** Removes the files of a directory that `isGone` says, if there is such a directory. */
  remove(directory: string, isGone: (name: string) => boolean): void {
    this.attempt(() => {
      if (!this.#disk.exists(directory)) return
      for (const name of this.#disk.list(directory).filter(isGone)) {
        const path = `${directory}/${name}`
        this.attempt(() => {
          this.#disk.remove(path)
          this.removed.push(path)
          this.#changed.add(directory)
        })
      }
    })
  }

  /**
   * Removes the directories of deleted streams. One goes only when its name carries one of these
   * ids.
   * @param streamIds latin1
   */
  removeStreams(streamIds: readonly string[]): void {
    const wanted = new Set(streamIds)
    for (const prefix of new Set(streamIds.map(streamPrefixPath))) {
      this.attempt(() => {
        if (!this.#disk.exists(prefix)) return
        const names = this.#disk.list(prefix)
        for (const name of names.filter(it => wanted.has(streamIdInName(it) ?? ''))) {
          this.#changed.add(prefix)
          this.attempt(() => removeTree(this.#disk, `${prefix}/${name}`))
        }
      })
    }
  }

  /** Makes durable what was removed: a crash leaves at most what the last commit let go. */
  *settle(): Steps<void> {
    if (this.#changed.size === 0) return
    try {
      yield { files: [], directories: [...this.#changed] }
    } catch (error) {
      this.#note(error)
    }
  }

  /** Does what may fail without harm; a second time where it fails, and only then it is noted. */
  attempt(act: () => void): void {
    try {
      act()
    } catch (error) {
      this.#check(error)
      try {
        act()
      } catch (again) {
        this.#note(again)
      }
    }
  }

  #note(error: unknown): void {
    this.notes.push(this.#check(error).message)
  }

  #check(error: unknown): DiskError {
    if (!(error instanceof DiskError) || error.isSync) throw error
    return error
  }
}

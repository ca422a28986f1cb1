import { streamIdInName, streamPrefixPath } from '../../shared/format/paths.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { removeTree } from '../disk/files.ts'
import type { Steps } from '../disk/sync-steps.ts'

/**
 * Removes files that no commit names any more. A file that cannot be removed is noted and stays,
 * because nothing reads it. Only a failed sync is an error.
 */
export class Removal {
  readonly #disk: Disk
  readonly #changed = new Set<string>()
  /** Paths of the removed files. */
  readonly removed: string[] = []
  /** One message for each file that could not be removed. */
  readonly notes: string[] = []

  constructor(disk: Disk) {
    this.#disk = disk
  }

  /** Removes the files of `directory` whose names match `isGone`, if the directory exists. */
  remove(directory: string, isGone: (name: string) => boolean): void {
    this.attempt(() => {
      if (!this.#disk.exists(directory)) return
      // Sync even if nothing is left to remove: a killed process may have removed it in the page
      // cache alone, and a power failure would bring it back.
      this.#changed.add(directory)
      for (const name of this.#disk.list(directory).filter(isGone)) {
        const path = `${directory}/${name}`
        this.attempt(() => {
          this.#disk.remove(path)
          this.removed.push(path)
        })
      }
    })
  }

  /**
   * Removes the directories of deleted streams: only those whose names carry one of these ids.
   * @param streamIds latin1
   */
  removeStreams(streamIds: readonly string[]): void {
    const wanted = new Set(streamIds)
    for (const prefix of new Set(streamIds.map(streamPrefixPath))) {
      this.attempt(() => {
        if (!this.#disk.exists(prefix)) return
        this.#changed.add(prefix) // as above
        const names = this.#disk.list(prefix)
        for (const name of names.filter(it => wanted.has(streamIdInName(it) ?? ''))) {
          this.attempt(() => removeTree(this.#disk, `${prefix}/${name}`))
        }
      })
    }
  }

  /** Makes all removals durable, so that a crash does not bring the files back. */
  *settle(): Steps<void> {
    if (this.#changed.size === 0) return
    try {
      yield { files: [], directories: [...this.#changed] }
    } catch (error) {
      this.#note(error)
    }
  }

  /** Calls `act`, a second time if it fails; a second failure is noted. */
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

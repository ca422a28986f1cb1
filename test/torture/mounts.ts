import { spawnSync } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  openSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { must } from './tools.ts'
import type { Trial } from './trial.ts'

const CHUNK = 64 * 1024

/** A small file system of its own, unmounted with the trial. */
export class SmallDisk {
  readonly path: string
  readonly #mount: () => void

  private constructor(path: string, mount: () => void) {
    this.path = path
    this.#mount = mount
  }

  static tmpfs(trial: Trial, mebibytes: number): SmallDisk {
    const path = trial.path('disk')
    mkdirSync(path)
    must('mount', '-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', path)
    trial.defer(() => unmount(path))
    return new SmallDisk(path, () => undefined)
  }

  /** ext4 in a file, on a loop device. */
  static ext4(trial: Trial, mebibytes: number): SmallDisk {
    const path = trial.path('disk')
    const image = trial.path('disk.img')
    mkdirSync(path)
    writeFileSync(image, '')
    truncateSync(image, mebibytes * 1024 * 1024)
    must('mkfs.ext4', '-q', '-m', '0', image)
    const mount = () => must('mount', '-o', 'loop', image, path)
    mount()
    trial.defer(() => unmount(path))
    return new SmallDisk(path, mount)
  }

  /** Where a store goes. */
  get data(): string {
    return join(this.path, 'data')
  }

  /** Takes all the room there is. */
  fill(): void {
    const file = openSync(this.#ballast, 'a')
    try {
      for (let bytes = CHUNK; bytes >= 1; ) {
        try {
          writeSync(file, Buffer.alloc(bytes))
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
          bytes = Math.floor(bytes / 8)
        }
      }
    } finally {
      closeSync(file)
    }
  }

  free(): void {
    rmSync(this.#ballast, { force: true })
  }

  /** What a restart of the machine does to it. */
  remount(): void {
    must('umount', this.path)
    this.#mount()
  }

  get #ballast(): string {
    return join(this.path, 'ballast')
  }
}

/** Lazily, so that a process that still holds a file does not keep the trial from ending. */
function unmount(path: string): void {
  spawnSync('umount', ['-l', path])
}

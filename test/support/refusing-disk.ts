import { DiskError, type FileMode } from '../../src/workers/disk/disk.ts'
import { SimulatedDisk } from './simulated-disk.ts'

/** A disk that refuses to write, create, rename or remove files of some streams. */
export class RefusingDisk extends SimulatedDisk {
  /** Prefix of the stream's name → errno. */
  readonly refused = new Map<string, string>()

  refuse(stream: string, code: string): void {
    this.refused.set(stream, code)
  }

  override open(path: string, mode: FileMode): number {
    if (mode !== 'read') this.#check('open', path)
    return super.open(path, mode)
  }

  override makeDirectory(path: string): void {
    this.#check('makeDirectory', path)
    super.makeDirectory(path)
  }

  override rename(from: string, to: string): void {
    this.#check('rename', from)
    super.rename(from, to)
  }

  override remove(path: string): void {
    this.#check('remove', path)
    super.remove(path)
  }

  #check(operation: string, path: string): void {
    for (const [stream, code] of this.refused) {
      const isIt = path.startsWith('streams/') && path.includes(`/${stream}`)
      if (isIt) throw new DiskError(code, operation, path)
    }
  }
}

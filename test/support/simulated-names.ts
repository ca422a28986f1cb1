import type { Inode } from './simulated-inode.ts'

// What was done to the names of a simulated disk.

export type Move = { readonly from: string; readonly to: string }

/** What one operation did to names: happens whole, or not at all. */
export type NameChange = {
  readonly directory: string
  readonly names: readonly (readonly [path: string, inode: Inode | undefined])[]
  /** The directory that was renamed. */
  readonly moved?: Move
  /** The directory that was made. */
  readonly made?: string
  /** The directory that was removed, and with it whatever the media still have below it. */
  readonly unmade?: string
}

export function isWithin(path: string, directory: string | undefined): boolean {
  return path === directory || (directory !== undefined && path.startsWith(`${directory}/`))
}

export function applyChange(names: Map<string, Inode>, change: NameChange): void {
  for (const [path, inode] of change.names) {
    if (inode === undefined) names.delete(path)
    else names.set(path, inode)
  }
  if (change.unmade === undefined) return
  for (const path of names.keys()) if (isWithin(path, change.unmade)) names.delete(path)
}

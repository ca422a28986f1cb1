import { streamIdInName } from '../../src/shared/format/paths.ts'

/** Returns the directories of streams whose names show as `readable`, as files below them tell. */
export function directoriesOf(disk: { paths(): string[] }, readable: string): string[] {
  const directories = disk
    .paths()
    .filter(path => path.startsWith('streams/'))
    .map(path => path.split('/').slice(0, 3).join('/'))
  return [...new Set(directories)].filter(path => {
    const name = path.slice(path.lastIndexOf('/') + 1)
    return name.startsWith(`${readable}-`) && streamIdInName(name) !== undefined
  })
}

/** Returns the one of them. */
export function directoryOf(disk: { paths(): string[] }, readable: string): string {
  const [only, ...others] = directoriesOf(disk, readable)
  if (only === undefined || others.length > 0) {
    throw new Error(`${readable} has ${others.length + (only === undefined ? 0 : 1)} directories`)
  }
  return only
}

import { createReadStream, readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'

// What the process reads from the file system besides the data directory.

/** @throws Error with a readable message */
export function readJsonFile(path: string): unknown {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw unreadable(path, error)
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Error(`${path} is not valid JSON: ${(error as Error).message}`, { cause: error })
  }
}

/** The version of this package. */
export function readVersion(): string {
  const manifest = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

/**
 * A file to be read once, from its start.
 * @returns its bytes, and how many there are; undefined when its size says nothing, as of a pipe
 * @throws Error with a readable message
 */
export async function openInput(
  path: string,
): Promise<{ readonly input: Readable; readonly size: number | undefined }> {
  try {
    const file = await open(path, 'r')
    const stats = await file.stat()
    if (stats.isDirectory()) {
      await file.close()
      throw new Error('it is a directory')
    }
    const size = stats.isFile() ? stats.size : undefined
    return { input: createReadStream(path, { fd: file, highWaterMark: 256 * 1024 }), size }
  } catch (error) {
    throw unreadable(path, error)
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
}

function unreadable(path: string, cause: unknown): Error {
  const { code, message } = cause as NodeJS.ErrnoException
  return new Error(`cannot read ${path}: ${REASONS[code ?? ''] ?? message}`, { cause })
}

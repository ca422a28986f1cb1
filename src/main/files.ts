import { hash } from 'node:crypto'
import { createReadStream, existsSync, readFileSync } from 'node:fs'
import { type FileHandle, mkdir, open, realpath, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Readable } from 'node:stream'

// What the process does in the file system besides the data directory.

/** @throws Error with a readable message */
export function readJsonFile(path: string): unknown {
  const text = readTextFile(path)
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Error(`${path} is not valid JSON: ${(error as Error).message}`, { cause: error })
  }
}

/** @throws Error with a readable message */
export function readTextFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw unreadable(path, error)
  }
}

/** The version of this package. */
export function readVersion(): string {
  const manifest = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

export function fileExists(path: string): boolean {
  return existsSync(path)
}

/** A file to be read once, in order. */
export class InputFile {
  readonly #file: FileHandle
  readonly #path: string
  /** Bytes; undefined when its size says nothing, as of a pipe. */
  readonly size: number | undefined

  private constructor(file: FileHandle, path: string, size: number | undefined) {
    this.#file = file
    this.#path = path
    this.size = size
  }

  /** @throws Error with a readable message */
  static async open(path: string): Promise<InputFile> {
    try {
      const file = await open(path, 'r')
      const stats = await file.stat()
      if (stats.isDirectory()) {
        await file.close()
        throw new Error('it is a directory')
      }
      return new InputFile(file, path, stats.isFile() ? stats.size : undefined)
    } catch (error) {
      throw unreadable(path, error)
    }
  }

  /** Where it is, without symbolic links. */
  realPath(): Promise<string> {
    return realpath(this.#path)
  }

  /** SHA-256 of `[start, end)`, hex; of fewer bytes where it ends earlier. */
  async hash(start: number, end: number): Promise<string> {
    const bytes = Buffer.alloc(end - start)
    let done = 0
    for (let isEnd = false; !isEnd && done < bytes.length; ) {
      const { bytesRead } = await this.#file.read(bytes, done, bytes.length - done, start + done)
      done += bytesRead
      isEnd = bytesRead === 0
    }
    return hash('sha256', bytes.subarray(0, done))
  }

  /** Its bytes from `start` on; closes it at their end. */
  stream(start = 0): Readable {
    const from = this.size === undefined ? {} : { start }
    return createReadStream(this.#path, { fd: this.#file, highWaterMark: 256 * 1024, ...from })
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

/**
 * Puts a file in place whole or not at all, durable when it resolves (faults.md, rule 10): after a
 * power failure an older content never comes back.
 * @throws Error of the file system
 */
export async function replaceFile(path: string, content: string): Promise<void> {
  const temporary = `${path}.tmp`
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  await withHandle(temporary, 'w', async file => {
    await file.writeFile(content)
    await file.datasync()
  })
  await rename(temporary, path)
  await withHandle(dirname(path), 'r', directory => directory.sync())
}

async function withHandle(
  path: string,
  flags: string,
  act: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const file = await open(path, flags, 0o600)
  try {
    await act(file)
  } finally {
    await file.close()
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

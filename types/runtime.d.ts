// What Node >= 20.19 has at run time and @types/node does not declare.

import type { BinaryLike } from 'node:crypto'
import type { MessagePort as NodeMessagePort } from 'node:worker_threads'

declare global {
  // The browser's library would declare it too, and with it `window` and all that is not here.
  var WebAssembly: {
    readonly Memory: new (descriptor: {
      readonly initial: number
      readonly maximum: number
      readonly shared: true
    }) => WebAssembly.Memory
  }

  namespace WebAssembly {
    interface Memory {
      readonly buffer: SharedArrayBuffer
      /** By pages of 64 KiB; buffers taken before keep their length. */
      grow(pages: number): number
    }
  }

  // Declared as a value only.
  interface MessagePort extends NodeMessagePort {}

  // One encoding each, without the look-up by name that `write` and `toString` do first.
  interface Buffer {
    latin1Slice(start?: number, end?: number): string
    latin1Write(text: string, offset?: number, length?: number): number
    utf8Slice(start?: number, end?: number): string
    utf8Write(text: string, offset?: number, length?: number): number
  }
}

// 'latin1' is the documented name of what is declared as 'binary' only.
declare module 'crypto' {
  function hash(algorithm: string, data: BinaryLike, outputEncoding: 'latin1'): string
  interface Hash {
    digest(encoding: 'latin1'): string
  }
}

// From Node 22.15 on.
declare module 'zlib' {
  interface ZstdOptions extends Pick<ZlibOptions, 'chunkSize' | 'maxOutputLength'> {
    readonly params?: Readonly<Record<number, number>>
    readonly pledgedSrcSize?: number
  }
  const zstdCompressSync: ((bytes: Buffer, options?: ZstdOptions) => Buffer) | undefined
  const zstdDecompressSync: ((bytes: Buffer, options?: ZstdOptions) => Buffer) | undefined
}

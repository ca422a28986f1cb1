import { assert } from '../assert.ts'

const WASM_PAGE_BYTES = 65_536
/** Address space set aside, 4 GiB, of which only what was asked for is ever backed by memory. */
const WASM_PAGES_MAX = 65_536

/**
 * Page-aligned shared memory that grows to the most that was asked of it and stays that large. Used
 * again and again, for what is given back to the collector piles up: it does not see shared memory
 * as pressure, and a few hundred oversize blocks of 32 MiB took 14 GiB before it ran.
 */
export class GrowingMemory {
  #memory: WebAssembly.Memory | undefined

  /** At least `bytes`; what it holds is what was left there. */
  take(bytes: number): SharedArrayBuffer {
    const pages = Math.ceil(bytes / WASM_PAGE_BYTES)
    assert(pages <= WASM_PAGES_MAX, `${bytes} bytes are more than one block can hold`)
    this.#memory ??= new WebAssembly.Memory({
      initial: pages,
      maximum: WASM_PAGES_MAX,
      shared: true,
    })
    const missing = pages - this.#memory.buffer.byteLength / WASM_PAGE_BYTES
    if (missing > 0) this.#memory.grow(missing)
    return this.#memory.buffer
  }
}

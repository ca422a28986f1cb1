import { CommandFailure } from './context.ts'

/** No server can be configured to take a larger record, so a longer line need not be held. */
const LINE_BYTES_MAX = 256 * 1024 * 1024
const LINE_FEED = 10

/**
 * Cuts a stream of bytes at its line feeds. A line is every byte between two of them, a carriage
 * return too, so that the lines, each followed by a line feed, are the input byte for byte (whose
 * last line may lack its own).
 */
export class LineSplitter {
  readonly #lineBytesMax: number
  /** The begun line, in pieces: joined once, however many chunks it spans. */
  #pieces: Buffer[] = []
  #pieceBytes = 0
  #lines = 0

  constructor(lineBytesMax = LINE_BYTES_MAX) {
    this.#lineBytesMax = lineBytesMax
  }

  /** The lines that `chunk` completes; views of it where they lie within. */
  *push(chunk: Buffer): Generator<Buffer> {
    let start = 0
    for (
      let end = chunk.indexOf(LINE_FEED);
      end >= 0;
      start = end + 1, end = chunk.indexOf(LINE_FEED, start)
    ) {
      yield this.#complete(chunk.subarray(start, end))
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start))
  }

  /** The last line, when no line feed follows it. */
  *end(): Generator<Buffer> {
    if (this.#pieceBytes > 0) yield this.#complete(Buffer.alloc(0))
  }

  #complete(rest: Buffer): Buffer {
    this.#lines += 1
    if (this.#pieceBytes === 0) return rest
    const line = Buffer.concat([...this.#pieces, rest])
    this.#pieces = []
    this.#pieceBytes = 0
    return line
  }

  #keep(piece: Buffer): void {
    this.#pieces.push(piece)
    this.#pieceBytes += piece.length
    if (this.#pieceBytes > this.#lineBytesMax) {
      const bound = `${this.#lineBytesMax} bytes, which no record may be`
      throw new CommandFailure(`line ${this.#lines + 1} is longer than ${bound}`)
    }
  }
}

// Records that tell, wherever they are found later, whether all that a writer was told is true.

/** What a virtual user remembers of one stream that it writes to. */
export class Writer {
  constructor(name) {
    this.name = name
    this.count = 0
    /** Offset that the last record got, as the service answered; -1 before the first. */
    this.lastOffset = -1
  }

  /** The next `count` values to append. */
  next(count) {
    const values = []
    for (let index = 0; index < count; index += 1) {
      values.push({
        writer: this.name,
        number: this.count + index,
        // Within a batch the offset of the one before is not known yet.
        after: index === 0 ? this.lastOffset : null,
        sentMs: Date.now(),
      })
    }
    return values
  }

  /** Takes the answer to an append of `next(count)`. */
  acknowledge(answer, count) {
    this.count += count
    this.lastOffset = answer.nextOffset - 1
  }
}

/**
 * Holds records, in the order of the stream, against what their writers were told: each writer's
 * numbers come one after the other, each once, and each acknowledged one at its offset.
 */
export class Ledger {
  constructor() {
    this.writers = {}
    this.isRight = true
  }

  add(record) {
    const { writer, number, after } = record.data
    const last = this.writers[writer] || { number: -1, offset: -1 }
    const isNext = number === last.number + 1 && record.offset > last.offset
    const isWhereToldIs = after === null || after === last.offset
    this.isRight = this.isRight && isNext && isWhereToldIs
    this.writers[writer] = { number, offset: record.offset }
  }
}

import type { InspectionMessage } from '../../shared/protocol/inspection.ts'

/** Where the inspection of a file puts what it finds. */
export class Listing {
  readonly #file: string
  readonly #post: (message: InspectionMessage) => void

  constructor(file: string, post: (message: InspectionMessage) => void) {
    this.#file = file
    this.#post = post
  }

  line(text: string): void {
    this.#post({ kind: 'line', text })
  }

  /** Says that bytes do not check. */
  damage(bytes: readonly [from: number, to: number], reason: string): void {
    this.#post({ kind: 'finding', file: this.#file, bytes, reason, severity: 'damage' })
  }
}

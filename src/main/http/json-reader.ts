import { StoreError } from '../../shared/errors.ts'

// Reads JSON text (RFC 8259) in place: it gives byte ranges, and builds no value. So nothing passes
// through a JavaScript number, and a text needs no memory beyond one bit a level of nesting.
//
// The functions take the position of a token and return the position behind it, or -1 where the
// text is not JSON. The bytes are valid UTF-8, which the caller has checked.

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const MINUS = 0x2d
const ZERO = 0x30
/** First of the four hex digits of an escape. */
const ESCAPED_UNICODE = 0x75
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const ESCAPES = new Set(Buffer.from('"\\/bfnrt'))
const LITERALS = new Map(
  ['true', 'false', 'null'].map(text => [text.charCodeAt(0), Buffer.from(text)]),
)
const LEVELS_PER_WORD = 32
const NAME_SHOWN_MAX = 64

/** A member's name for an error, at most so long. */
export function quoteName(name: string): string {
  const isLong = name.length > NAME_SHOWN_MAX
  return JSON.stringify(isLong ? `${name.slice(0, NAME_SHOWN_MAX)}...` : name)
}

/** Whether `[start, end)` is one JSON value, with white space around it or not, of any depth. */
export function isJson(bytes: Buffer, start: number, end: number): boolean {
  const at = endOfValue(bytes, skipSpace(bytes, start, end), end)
  return at !== -1 && skipSpace(bytes, at, end) === end
}

/**
 * Walks over one JSON text, member by member and element by element.
 *
 *     for (let more = reader.enterObject(); more; more = reader.nextMember()) {
 *       reader.name, then readValue(), enterObject() or enterArray()
 *     }
 *
 * Every method throws StoreError invalid_request where the text is not JSON.
 */
export class JsonReader {
  readonly #bytes: Buffer
  readonly #end: number
  readonly #what: string
  #at: number
  /** Of the member that the reader stands at. */
  name = ''
  /** Range of the value that was read last, without white space around it. */
  valueAt = 0
  valueEnd = 0

  /** @param bytes valid UTF-8 @param what names the text in errors, for example "the body" */
  constructor(bytes: Buffer, what: string, start = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#what = what
    this.#end = end
    this.#at = skipSpace(bytes, start, end)
  }

  /** From where the reader stands to the end of the text. */
  get bytesLeft(): number {
    return this.#end - this.#at
  }

  /** Whether the value that comes next is an object. */
  get isObject(): boolean {
    return this.#byte() === OPEN_OBJECT
  }

  get isArray(): boolean {
    return this.#byte() === OPEN_ARRAY
  }

  get isString(): boolean {
    return this.#byte() === QUOTE
  }

  /**
   * Enters the object that comes next (`isObject`), up to the value of its first member; false: it
   * is empty.
   */
  enterObject(): boolean {
    this.#skip(this.#at + 1)
    if (this.#byte() !== CLOSE_OBJECT) return this.#readName()
    this.#skip(this.#at + 1)
    return false
  }

  /** Moves on behind a member's value, to the value of the next member; false: there is none. */
  nextMember(): boolean {
    if (!this.#follows(CLOSE_OBJECT)) return false
    return this.#readName()
  }

  /** Enters the array that comes next (`isArray`), up to its first element; false: it is empty. */
  enterArray(): boolean {
    this.#skip(this.#at + 1)
    if (this.#byte() !== CLOSE_ARRAY) return true
    this.#skip(this.#at + 1)
    return false
  }

  /** Moves on behind an element, to the next one; false: there is none. */
  nextElement(): boolean {
    return this.#follows(CLOSE_ARRAY)
  }

  /** Reads the value that comes next, whatever it is. */
  readValue(): void {
    this.valueAt = this.#at
    this.valueEnd = this.#valid(endOfValue(this.#bytes, this.#at, this.#end))
    this.#skip(this.valueEnd)
  }

  /** Checks that nothing follows. */
  finish(): void {
    if (this.#at !== this.#end) throw this.#invalid()
  }

  #byte(): number {
    return byteAt(this.#bytes, this.#at, this.#end)
  }

  #skip(at: number): void {
    this.#at = skipSpace(this.#bytes, at, this.#end)
  }

  #follows(close: number): boolean {
    const byte = this.#byte()
    if (byte !== COMMA && byte !== close) throw this.#invalid()
    this.#skip(this.#at + 1)
    return byte === COMMA
  }

  #readName(): true {
    const start = this.#at
    const next = this.#valid(endOfName(this.#bytes, start, this.#end))
    const end = endOfString(this.#bytes, start, this.#end)
    const text = this.#bytes.utf8Slice(start + 1, end - 1)
    this.name = text.includes('\\') ? (JSON.parse(`"${text}"`) as string) : text
    this.#skip(next)
    return true
  }

  #valid(at: number): number {
    if (at === -1) throw this.#invalid()
    return at
  }

  #invalid(): StoreError {
    return new StoreError('invalid_request', `${this.#what} is not valid JSON`)
  }
}

function endOfValue(bytes: Buffer, start: number, end: number): number {
  /** Kinds of the open levels, the innermost in bit 0; 1 is an object. */
  let kinds = 0
  const outerKinds: number[] = []
  let depth = 0
  for (let at = start; ; ) {
    const opening = byteAt(bytes, at, end)
    if (opening === OPEN_OBJECT || opening === OPEN_ARRAY) {
      const isObject = opening === OPEN_OBJECT
      at = skipSpace(bytes, at + 1, end)
      if (byteAt(bytes, at, end) === closing(isObject)) {
        at += 1
      } else {
        if (depth > 0 && depth % LEVELS_PER_WORD === 0) outerKinds.push(kinds)
        kinds = (kinds << 1) | Number(isObject)
        depth += 1
        if (isObject) at = endOfName(bytes, at, end)
        if (at === -1) return -1
        at = skipSpace(bytes, at, end)
        continue
      }
    } else {
      at = endOfScalar(bytes, at, end)
      if (at === -1) return -1
    }
    for (let isOpen = true; isOpen; ) {
      if (depth === 0) return at
      at = skipSpace(bytes, at, end)
      const isObject = (kinds & 1) === 1
      const byte = byteAt(bytes, at, end)
      if (byte === COMMA) {
        at = skipSpace(bytes, at + 1, end)
        if (isObject) at = endOfName(bytes, at, end)
        if (at === -1) return -1
        at = skipSpace(bytes, at, end)
        isOpen = false
      } else if (byte === closing(isObject)) {
        at += 1
        depth -= 1
        const isWord = depth > 0 && depth % LEVELS_PER_WORD === 0
        kinds = isWord ? (outerKinds.pop() as number) : kinds >>> 1
      } else {
        return -1
      }
    }
  }
}

function closing(isObject: boolean): number {
  return isObject ? CLOSE_OBJECT : CLOSE_ARRAY
}

/** A member's name and the colon behind it. */
function endOfName(bytes: Buffer, start: number, end: number): number {
  const at = endOfString(bytes, start, end)
  if (at === -1) return -1
  const colon = skipSpace(bytes, at, end)
  return byteAt(bytes, colon, end) === COLON ? colon + 1 : -1
}

function endOfScalar(bytes: Buffer, at: number, end: number): number {
  const byte = byteAt(bytes, at, end)
  if (byte === QUOTE) return endOfString(bytes, at, end)
  if (byte === MINUS || isDigit(byte)) return endOfNumber(bytes, at, end)
  const literal = LITERALS.get(byte)
  if (literal === undefined || at + literal.length > end) return -1
  for (let index = 1; index < literal.length; index += 1) {
    if (bytes[at + index] !== literal[index]) return -1
  }
  return at + literal.length
}

function endOfString(bytes: Buffer, start: number, end: number): number {
  if (byteAt(bytes, start, end) !== QUOTE) return -1
  for (let at = start + 1; at < end; at += 1) {
    const byte = bytes[at] as number
    if (byte === QUOTE) return at + 1
    if (byte < 0x20) return -1
    if (byte !== BACKSLASH) continue
    at = endOfEscape(bytes, at + 1, end) - 1
    if (at < 0) return -1
  }
  return -1
}

/** @param at behind the backslash */
function endOfEscape(bytes: Buffer, at: number, end: number): number {
  const byte = byteAt(bytes, at, end)
  if (byte !== ESCAPED_UNICODE) return ESCAPES.has(byte) ? at + 1 : -1
  for (let digit = at + 1; digit < at + 5; digit += 1) {
    if (!isHexDigit(byteAt(bytes, digit, end))) return -1
  }
  return at + 5
}

function endOfNumber(bytes: Buffer, start: number, end: number): number {
  const first = byteAt(bytes, start, end) === MINUS ? start + 1 : start
  // No digit follows a leading zero.
  let at = byteAt(bytes, first, end) === ZERO ? first + 1 : endOfDigits(bytes, first, end)
  if (at !== -1 && byteAt(bytes, at, end) === 0x2e) at = endOfDigits(bytes, at + 1, end)
  if (at === -1 || (byteAt(bytes, at, end) | 0x20) !== 0x65) return at
  const sign = byteAt(bytes, at + 1, end)
  return endOfDigits(bytes, sign === 0x2b || sign === MINUS ? at + 2 : at + 1, end)
}

/** One digit and all that follow. */
function endOfDigits(bytes: Buffer, start: number, end: number): number {
  let at = start
  while (isDigit(byteAt(bytes, at, end))) at += 1
  return at === start ? -1 : at
}

function skipSpace(bytes: Buffer, start: number, end: number): number {
  let at = start
  while (isSpace(byteAt(bytes, at, end))) at += 1
  return at
}

/** The byte at `at`, or -1 at the end. */
function byteAt(bytes: Buffer, at: number, end: number): number {
  return at < end ? (bytes[at] as number) : -1
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= 0x39
}

function isHexDigit(byte: number): boolean {
  const letter = byte | 0x20
  return isDigit(byte) || (letter >= 0x61 && letter <= 0x66)
}

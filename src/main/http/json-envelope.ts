import { isUtf8 } from 'node:buffer'
import type { StoreError } from '../../shared/errors.ts'
import { KIB } from '../../shared/limits.ts'
import { invalid } from './append-checks.ts'
import { isJson, JsonReader, quoteName } from './json-reader.ts'

// What surrounds the records of a JSON request. Its members are few and small, so they become
// values; the records stay bytes.

/** Where a value lies in the text, without white space around it. */
export type JsonRange = { readonly start: number; readonly end: number }
export type JsonMembers = ReadonlyMap<string, JsonRange>

/** Far more than any member but the records needs: a small array has more bytes in memory. */
const VALUE_BYTES_MAX = 4 * KIB
const QUOTE = 0x22

/**
 * Opens `text`, which must be a JSON object.
 * @param what names the text in errors, for example "the body"
 * @param shape what is expected, for the error
 * @throws StoreError invalid_request
 */
export function openJsonObject(text: Buffer, what: string, shape: string): JsonReader {
  if (!isUtf8(text)) throw invalid(`${what} is not valid UTF-8`)
  const reader = new JsonReader(text, what)
  if (reader.isObject) return reader
  reader.readValue()
  reader.finish()
  throw invalid(`${what} must be ${shape}`)
}

/**
 * Checks that `text` is one JSON object, and returns where its members' values lie. Of a member
 * that is repeated, the last one counts.
 * @throws StoreError invalid_request
 */
export function readJsonObject(text: Buffer, what: string, shape: string): JsonMembers {
  const reader = openJsonObject(text, what, shape)
  const members = readMembers(reader)
  reader.finish()
  return members
}

/** A reader of the value of a member, or of nothing where there is no such member. */
export function readerOf(text: Buffer, what: string, range: JsonRange | undefined): JsonReader {
  return new JsonReader(text, what, range?.start ?? 0, range?.end ?? 0)
}

/** The value of a small body without records. @throws StoreError invalid_request */
export function parseJson(body: Buffer, what: string): unknown {
  if (!isUtf8(body) || !isJson(body, 0, body.length)) throw invalid(`${what} is not valid JSON`)
  return JSON.parse(body.utf8Slice())
}

/** Reads the object that comes next. */
export function readMembers(reader: JsonReader): JsonMembers {
  const members = new Map<string, JsonRange>()
  for (let more = reader.enterObject(); more; more = reader.nextMember()) {
    const { name } = reader
    reader.readValue()
    members.set(name, { start: reader.valueAt, end: reader.valueEnd })
  }
  return members
}

/** @throws StoreError invalid_request when there is a member that is not one of `known` */
export function checkMembers(members: JsonMembers, known: readonly string[], what: string): void {
  for (const name of members.keys()) {
    if (!known.includes(name)) throw unknownMember(what, name)
  }
}

export function unknownMember(what: string, name: string): StoreError {
  return invalid(`${what} has an unknown member ${quoteName(name)}`)
}

/**
 * The values of those members of `names` that are there, for a schema to check.
 * @throws StoreError invalid_request when one is too large to be what any schema asks for
 */
export function valuesOf(
  text: Buffer,
  members: JsonMembers,
  names: readonly string[],
): Record<string, unknown> {
  const values: Record<string, unknown> = {}
  for (const name of names) {
    const range = members.get(name)
    if (range === undefined) continue
    const { start, end } = range
    if (text[start] !== QUOTE && end - start > VALUE_BYTES_MAX) throw invalid(`${name} is too long`)
    values[name] = JSON.parse(text.utf8Slice(start, end))
  }
  return values
}

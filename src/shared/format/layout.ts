import { assert } from '../assert.ts'

/** Field → its position and width, bytes. */
export type LayoutTable = Readonly<Record<string, readonly [at: number, width: number]>>

/** Field → its position. */
export type Layout<Table extends LayoutTable> = { readonly [Field in keyof Table]: number }

/**
 * Positions of the fields of a fixed-size structure.
 * @throws InvariantError unless the fields follow one another without gap or overlap and end at
 * `size`.
 */
export function layout<const Table extends LayoutTable>(size: number, table: Table): Layout<Table> {
  let end = 0
  const positions: Record<string, number> = {}
  for (const [field, [at, width]] of Object.entries(table)) {
    assert(at === end, `${field} is at ${at}, expected ${end}`)
    positions[field] = at
    end = at + width
  }
  assert(end === size, `fields end at ${end}, the structure at ${size}`)
  return positions as Layout<Table>
}

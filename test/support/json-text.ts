import * as fc from 'fast-check'

// JSON text as people, other languages and attackers write it: what JSON.parse would lose is in it.

const EDITS = '{}[]",:\\/ \n\u0000\u001f-+.0e1tn'.split('')

const space = fc.constantFrom('', '', '', ' ', '\n', '\r\n', '\t', '  \n ')
const number = fc.constantFrom(
  '0',
  '-0',
  '1.10',
  '12345678901234567890',
  '1e400',
  '-1E-400',
  '0.1e+1',
  '1E5',
)
const string = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }).map(text => JSON.stringify(text)),
  fc.constantFrom(
    '""',
    '"\\u0041"',
    '"\\ud800"',
    '"\\uD83D\\uDE00"',
    '"\\/\\b"',
    '"}],{["',
    '"\\\\"',
  ),
)
const name = fc.oneof(string, fc.constantFrom('"__proto__"', '"a"', '"data"', '"d\\u0061ta"'))

const grammar = fc.letrec<{ value: string; array: string; object: string }>(tie => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(number, string, fc.constantFrom('true', 'false', 'null')),
    tie('array'),
    tie('object'),
  ),
  array: fc
    .tuple(space, fc.array(fc.tuple(space, tie('value'), space), { maxLength: 5 }))
    .map(([inner, items]) => `[${items.map(item => item.join('')).join(',') || inner}]`),
  object: fc
    .tuple(space, fc.array(fc.tuple(space, name, space, tie('value'), space), { maxLength: 5 }))
    .map(([inner, members]) => {
      const parts = members.map(([a, key, b, value, c]) => `${a}${key}${b}:${b}${value}${c}`)
      return `{${parts.join(',') || inner}}`
    }),
}))

/** One JSON value, without white space around it. */
export const jsonText: fc.Arbitrary<string> = grammar.value

/** JSON text with some of its characters replaced, dropped or added: rarely JSON any more. */
export const brokenJsonText: fc.Arbitrary<string> = fc
  .tuple(
    jsonText,
    fc.array(fc.tuple(fc.nat(), fc.nat(2), fc.constantFrom(...EDITS)), {
      minLength: 1,
      maxLength: 3,
    }),
  )
  .map(([text, edits]) => {
    let broken = text
    for (const [place, dropped, added] of edits) {
      const at = place % (broken.length + 1)
      broken = broken.slice(0, at) + added + broken.slice(at + dropped)
    }
    return broken
  })

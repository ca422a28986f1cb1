import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isJson, JsonReader } from '../../../src/main/http/json-reader.ts'
import { brokenJsonText, jsonText } from '../../support/json-text.ts'

const reader = suite('main/http/json-reader')

/** What JSON.parse says, which is what every reader of the records will say. */
function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function accepts(text: string): boolean {
  const bytes = Buffer.from(text)
  return isJson(bytes, 0, bytes.length)
}

/** Names and texts of the members of an object. */
function membersOf(text: string): [name: string, value: string][] {
  const bytes = Buffer.from(text)
  const json = new JsonReader(bytes, 'the text')
  const members: [string, string][] = []
  for (let more = json.enterObject(); more; more = json.nextMember()) {
    const { name } = json
    json.readValue()
    members.push([name, bytes.toString('utf8', json.valueAt, json.valueEnd)])
  }
  json.finish()
  return members
}

reader('what JSON.parse takes is JSON, and nothing else is', () => {
  const check = (text: string) => assert.is(accepts(text), parses(text), JSON.stringify(text))
  fc.assert(fc.property(jsonText, check), { numRuns: 1000 })
  fc.assert(fc.property(brokenJsonText, check), { numRuns: 5000 })
})

reader('every prefix of JSON text is told from the whole', () => {
  const text = '{"a":[1.5e-3,"\\u00e9\\n",true,null,{"b":[]},-0],"c":{}} '
  for (let end = 0; end <= text.length; end += 1) {
    assert.is(accepts(text.slice(0, end)), parses(text.slice(0, end)), text.slice(0, end))
  }
})

reader('a text ends where it is said to, whatever follows in the bytes', () => {
  const bytes = Buffer.from('[1,\n2] truex 12 "a"')
  const isValue = ([start = 0, end = 0]: number[]) => isJson(bytes, start, end)
  const whole = [
    [0, 6],
    [7, 11],
    [13, 15],
    [16, 19],
  ]
  const cut = [
    [0, 3],
    [0, 4],
    [7, 10],
    [7, 12],
    [16, 18],
    [0, 11],
  ]
  assert.equal(whole.map(isValue), [true, true, true, true])
  assert.equal(cut.map(isValue), [false, false, false, false, false, false])
})

reader('members come with their decoded names and the bytes of their values', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string({ unit: 'grapheme' }), jsonText)), members => {
      const text = members.map(([name, value]) => `\n${JSON.stringify(name)} :\t${value} `)
      assert.equal(membersOf(`{${text.join(',')}}`), members)
    }),
    { numRuns: 300 },
  )
  assert.equal(membersOf('{"d\\u0061ta":1.0,"data":-0}'), [
    ['data', '1.0'],
    ['data', '-0'],
  ])
})

reader('nesting is as deep as the text, without a stack that overflows', () => {
  for (const depth of [31, 32, 33, 64, 65, 2_000_000]) {
    const arrays = '['.repeat(depth) + ']'.repeat(depth)
    assert.ok(accepts(arrays), `${depth} arrays`)
    assert.not.ok(accepts(`${arrays}]`), `${depth} arrays and one end more`)
  }
  for (const depth of [33, 64, 65, 100_000]) {
    const mixed = '[{"a":'.repeat(depth) + '1' + '}]'.repeat(depth)
    assert.ok(accepts(mixed), `${depth} objects in arrays`)
    assert.not.ok(accepts(mixed.replace('1}]', '1]}')), `${depth} with two ends exchanged`)
  }
})

reader.run()

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LineSplitter } from '../../../src/main/cli/line-splitter.ts'
import { Random } from '../../support/random.ts'

const splitter = suite('main/cli/line-splitter')

function split(chunks: readonly Buffer[]): Buffer[] {
  const lines = new LineSplitter()
  return [...chunks.flatMap(chunk => [...lines.push(chunk)]), ...lines.end()]
}

function linesOf(text: string): string[] {
  return split([Buffer.from(text)]).map(String)
}

splitter('each line is a record, without its line feed', () => {
  assert.equal(linesOf('a\nbc\n'), ['a', 'bc'])
})

splitter('the last line counts without a line feed too', () => {
  assert.equal(linesOf('a\nbc'), ['a', 'bc'])
})

splitter('empty lines are records, no input is none', () => {
  assert.equal(linesOf('\n\na\n\n'), ['', '', 'a', ''])
  assert.equal(linesOf(''), [])
})

splitter('a carriage return stays', () => {
  assert.equal(linesOf('a\r\n\r\nb\r'), ['a\r', '\r', 'b\r'])
})

splitter('lines do not depend on where chunks end', () => {
  const seed = Date.now()
  const random = new Random(seed)
  for (let round = 0; round < 200; round += 1) {
    const whole = Buffer.from(random.bytes(random.below(400)).replaceAll(/[a-z]/g, '\n'), 'latin1')
    const chunks: Buffer[] = []
    for (let at = 0; at < whole.length; ) {
      const end = at + 1 + random.below(12)
      chunks.push(whole.subarray(at, end))
      at = end
    }
    assert.equal(split(chunks), split([whole]), `seed ${seed}`)
  }
})

splitter('lines and line feeds are the input, byte for byte', () => {
  const input = Buffer.from('a\r\n\0\xff\xfe\n\nb\n', 'latin1')
  const joined = Buffer.concat(split([input]).flatMap(line => [line, Buffer.from('\n')]))
  assert.equal(joined, input)
})

splitter('a line that no record can hold is refused before it is buffered whole', () => {
  const lines = new LineSplitter(10)
  const push = (text: string) => [...lines.push(Buffer.from(text))]
  push('one\n12345')
  assert.throws(() => push('678901'), /line 2 is longer than 10 bytes/)
})

splitter.run()

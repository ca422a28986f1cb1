const QUOTE = 34
const BACKSLASH = 92
const NUMBER_END = /[,}\s]/g

/**
 * The digits of a number that is a member of the object `text` is, exactly as they are written:
 * JSON.parse keeps no more of them than a double does. Of a member given twice, the last.
 * @param text valid JSON
 */
export function numberAsWritten(text: string, member: string): string {
  let depth = 0
  let lastString = ''
  let found = ''
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charAt(at)) {
      case '"': {
        const end = endOfString(text, at)
        if (depth === 1) lastString = text.slice(at, end)
        at = end - 1
        break
      }
      case ':':
        if (depth === 1 && JSON.parse(lastString) === member) found = numberAt(text, at + 1)
        break
      case '{':
      case '[':
        depth += 1
        break
      case '}':
      case ']':
        depth -= 1
        break
      default: // white space, a comma, part of a number or of a literal
    }
  }
  return found
}

function endOfString(text: string, start: number): number {
  let at = start + 1
  while (text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1
  return at + 1
}

function numberAt(text: string, start: number): string {
  const from = start + text.slice(start).search(/\S/)
  NUMBER_END.lastIndex = from
  return text.slice(from, NUMBER_END.exec(text)?.index)
}

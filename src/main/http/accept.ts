/**
 * The first of `offered` media types that an Accept header prefers (RFC 9110 section 12.5.1): the
 * highest q wins, and among equals the order of `offered`. The first one where the header is
 * missing, undefined where nothing offered is accepted.
 */
export function negotiate<Type extends string>(
  accept: string | undefined,
  offered: readonly [Type, ...Type[]],
): Type | undefined {
  if (accept === undefined || accept === '' || accept === '*/*') return offered[0]
  const ranges = accept.split(',').map(parseRange)
  let best: Type | undefined
  let bestQuality = 0
  for (const type of offered) {
    const quality = qualityOf(type, ranges)
    if (quality > bestQuality) {
      best = type
      bestQuality = quality
    }
  }
  return best
}

type MediaRange = { readonly type: string; readonly quality: number }

function parseRange(text: string): MediaRange {
  const [type = '', ...parameters] = text.split(';').map(part => part.trim().toLowerCase())
  const weight = parameters.find(parameter => parameter.startsWith('q='))
  const quality = weight === undefined ? 1 : Number(weight.slice(2))
  return { type, quality: quality >= 0 && quality <= 1 ? quality : 0 }
}

/** The most specific range that covers a type decides. */
function qualityOf(type: string, ranges: readonly MediaRange[]): number {
  const family = `${type.slice(0, type.indexOf('/'))}/*`
  for (const candidate of [type, family, '*/*']) {
    const range = ranges.find(range => range.type === candidate)
    if (range !== undefined) return range.quality
  }
  return 0
}

/**
 * The type of a Content-Type in lower case, and whether it names a charset, which can be UTF-8
 * alone; undefined for any other parameter and for what is no media type.
 */
export function parseMediaType(
  contentType: string | undefined,
): { readonly type: string; readonly hasCharset: boolean } | undefined {
  const [type = '', ...parameters] = (contentType ?? '').split(';').map(part => part.trim())
  // A semicolon at the end is taken for none.
  if (parameters.at(-1) === '') parameters.pop()
  if (!/^\S+$/.test(type) || parameters.length > 1) return undefined
  const [parameter] = parameters
  if (parameter !== undefined && !isUtf8Charset(parameter)) return undefined
  return { type: type.toLowerCase(), hasCharset: parameter !== undefined }
}

function isUtf8Charset(parameter: string): boolean {
  const equals = parameter.indexOf('=')
  const name = parameter.slice(0, equals).trim().toLowerCase()
  const value = parameter
    .slice(equals + 1)
    .trim()
    .toLowerCase()
  return name === 'charset' && (value === 'utf-8' || value === '"utf-8"')
}

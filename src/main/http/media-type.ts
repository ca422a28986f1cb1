const MEDIA_TYPE = /^([^;\s]+)\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?;?\s*$/i

/**
 * The type of a Content-Type in lower case, and whether it names a charset, which can be UTF-8
 * alone; undefined for any other parameter and for what is no media type.
 */
export function parseMediaType(
  contentType: string | undefined,
): { readonly type: string; readonly hasCharset: boolean } | undefined {
  const match = MEDIA_TYPE.exec(contentType ?? '')
  if (match === null) return undefined
  const [, type = '', charset] = match
  return { type: type.toLowerCase(), hasCharset: charset !== undefined }
}

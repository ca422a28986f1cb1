/** One whole HTTP/1.1 request, ready to be written again and again. */
export function httpPost(
  port: number,
  path: string,
  contentType: string,
  body: Uint8Array,
): Buffer {
  const head = [
    `POST ${path} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    `Content-Type: ${contentType}`,
    `Content-Length: ${body.length}`,
    '\r\n',
  ]
  return Buffer.concat([Buffer.from(head.join('\r\n')), body])
}

/** `command` in RESP, so many times in a row. */
export function respCommand(command: readonly (string | Uint8Array)[], times: number): Buffer {
  const parts = command.map(part => Buffer.from(part))
  const encoded = parts.map(part =>
    Buffer.concat([Buffer.from(`$${part.length}\r\n`), part, Buffer.from('\r\n')]),
  )
  const once = Buffer.concat([Buffer.from(`*${parts.length}\r\n`), ...encoded])
  return Buffer.concat(Array.from({ length: times }, () => once))
}

// A plain client of the wire contract, for tests: nothing of the service's own code is in it.

export type Appended = {
  readonly firstOffset: number
  readonly nextOffset: number
  readonly durable: boolean
  readonly chainHead: string
}

type Page = {
  readonly nextOffset: number
  readonly tailOffset: number
  readonly records: readonly { readonly offset: number; readonly text?: string }[]
}

function recordsUrl(url: string, stream: string, query = ''): string {
  return `${url}/v1/streams/${encodeURIComponent(stream)}/records${query}`
}

export function appendText(
  url: string,
  stream: string,
  text: string,
  query = '',
): Promise<Response> {
  return fetch(recordsUrl(url, stream, query), {
    method: 'POST',
    headers: { 'content-type': 'text/plain' },
    body: text,
  })
}

/** Texts of a whole stream, read page by page, the chain verified from the first record. */
export async function readTexts(url: string, stream: string): Promise<string[]> {
  const texts: string[] = []
  for (let from = 0; ; ) {
    const response = await fetch(
      recordsUrl(url, stream, `?from=${from}&verify=genesis&limit=10000`),
    )
    if (response.status === 404) return texts
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
    const page = (await response.json()) as Page
    for (const { offset, text = '' } of page.records) {
      if (offset !== texts.length) throw new Error(`offset ${offset} after ${texts.length} records`)
      texts.push(text)
    }
    if (page.nextOffset === page.tailOffset) return texts
    from = page.nextOffset
  }
}

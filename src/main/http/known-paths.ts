/** The paths that are served, to tell a wrong method (405) from a wrong address (404). */
export class KnownPaths {
  readonly #methods = new Map<string, Set<string>>()

  /** @param url a route's pattern; `:name` stands for one segment, a last `*` for the rest */
  add(method: string | readonly string[], url: string): void {
    const methods = this.#methods.get(url) ?? new Set()
    for (const name of [method].flat()) methods.add(name)
    this.#methods.set(url, methods)
  }

  /** The value of `Allow` for a request's target, undefined where nothing is served there. */
  methodsOf(target: string): string | undefined {
    const segments = (target.split(/[?#]/, 1)[0] ?? '').split('/')
    const found = new Set<string>()
    for (const [url, methods] of this.#methods) {
      if (!matches(url.split('/'), segments)) continue
      for (const method of methods) found.add(method)
    }
    return found.size === 0 ? undefined : [...found].sort().join(', ')
  }
}

function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  const isOpen = pattern.at(-1) === '*'
  if (isOpen ? segments.length < pattern.length : segments.length !== pattern.length) return false
  return pattern.every(
    (part, index) => part === '*' || part.startsWith(':') || part === segments[index],
  )
}

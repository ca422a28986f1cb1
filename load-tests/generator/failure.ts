export type Failure = {
  /** Never fulfils: something to race against. */
  readonly promise: Promise<never>
  readonly reject: (error: Error) => void
}

/** What `Promise.withResolvers` gives from Node 22 on. */
export function createFailure(): Failure {
  let reject: (error: Error) => void = () => undefined
  const promise = new Promise<never>((_resolve, rejectPromise) => {
    reject = rejectPromise
  })
  promise.catch(() => undefined) // it may come before anyone races
  return { promise, reject }
}

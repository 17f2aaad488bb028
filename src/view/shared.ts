/**
 * Equal values as one. A cluster has thousands of Services and few lists of ports: what is shared takes no memory again, and is in the
 * processor's caches when it is asked for.
 */
export class Shared<T> {
  readonly #limit: number
  readonly #values = new Map<string, T>()

  /** Keeps at most `limit` values: nothing says when one is needed no more, so beyond that all are forgotten and begun anew. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** The first value that was equal to this one, as JSON tells equality. */
  of(value: T): T {
    const key = JSON.stringify(value)
    const known = this.#values.get(key)
    if (known !== undefined) return known
    if (this.#values.size >= this.#limit) this.#values.clear()
    this.#values.set(key, value)
    return value
  }
}

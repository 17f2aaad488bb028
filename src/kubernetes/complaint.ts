/**
 * Tells of an error that comes again at each attempt: once while it stays the same. Numbers do not make it another one: the API server
 * puts the port that it connected from, and what its clock shows, into what it says of a webhook that it cannot reach.
 */
export class Complaint {
  readonly #onError: (error: unknown) => void
  #told: string | undefined

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  tell(error: unknown): void {
    const text = String(error).replaceAll(/\d+/g, '0')
    if (text !== this.#told) this.#onError(error)
    this.#told = text
  }

  /** What was told has passed: should it come again, that is news. */
  end(): void {
    this.#told = undefined
  }
}

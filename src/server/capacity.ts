/** What one process takes on at a time. Above that the API server is asked to come again, or to ask another replica. */
export type Capacity = {
  /**
   * Reviews. An API server has 200 requests that change something under way at most (apiserver pkg/server/config.go,
   * MaxMutatingRequestsInFlight), and each is one review at a time here: more than any control plane of a few API servers sends.
   */
  reviews: number
  /** Bytes of their bodies. A body takes its size several times over while it is read. */
  bytes: number
}

export const defaultCapacity: Capacity = { reviews: 1_000, bytes: 128 * 1024 * 1024 }

/** Counts what is under way against the capacity. */
export class Load {
  readonly #capacity: Capacity
  #reviews = 0
  #bytes = 0

  constructor(capacity: Capacity) {
    this.#capacity = capacity
  }

  /** Takes on a review of so many bytes. Returns what to call once it is done with; undefined where it would be too much. */
  take(bytes: number): (() => void) | undefined {
    // One review is always taken, however large.
    const { reviews, bytes: limit } = this.#capacity
    const isTooMuch = this.#reviews + 1 > reviews || this.#bytes + bytes > limit
    if (isTooMuch && this.#reviews > 0) return undefined
    this.#reviews++
    this.#bytes += bytes
    return () => {
      this.#reviews--
      this.#bytes -= bytes
    }
  }
}

/** What one process takes on at a time. Above that the API server is asked to come again, or to ask another replica. */
export type Capacity = {
  /**
   * Reviews whose bodies are there. An API server has 200 requests that change something under way at most (apiserver
   * pkg/server/config.go, MaxMutatingRequestsInFlight), and each is one review at a time here: more than any control plane of a few API
   * servers sends.
   */
  reviews: number
  /** Bytes of bodies, as far as they have arrived. A body takes its size several times over while it is read. */
  bytes: number
}

export const defaultCapacity: Capacity = { reviews: 1_000, bytes: 128 * 1024 * 1024 }

/** Thrown where something more would be too much. */
export class Overload extends Error {
  override readonly name = 'Overload'
}

/** What one request takes of the capacity. Only what has arrived counts, so that who sends nothing takes nothing. */
export type Share = {
  /** Throws Overload. */
  addBytes(count: number): void
  /** Throws Overload. */
  addReview(): void
  end(): void
}

/** Counts what is under way against the capacity. */
export class Load {
  readonly #capacity: Capacity
  #reviews = 0
  #bytes = 0

  constructor(capacity: Capacity) {
    this.#capacity = capacity
  }

  /** Begins to count a request. One alone is always taken, however large. */
  begin(): Share {
    let [reviews, bytes] = [0, 0]
    return {
      addBytes: (count) => {
        if (this.#bytes > bytes && this.#bytes + count > this.#capacity.bytes) throw new Overload('too many bytes')
        this.#bytes += count
        bytes += count
      },
      addReview: () => {
        if (this.#reviews >= this.#capacity.reviews) throw new Overload('too many reviews')
        this.#reviews++
        reviews++
      },
      end: () => {
        this.#reviews -= reviews
        this.#bytes -= bytes
        ;[reviews, bytes] = [0, 0]
      },
    }
  }
}

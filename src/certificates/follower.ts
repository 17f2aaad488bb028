import type { X509Certificate } from 'node:crypto'
import { type Clock, systemClock } from '../kubernetes/clock.ts'
import { Complaint } from '../kubernetes/complaint.ts'
import { isAmong, isValid, type TLSSecret } from './tls-secret.ts'

/** All times in milliseconds. */
export type FollowerTimes = {
  /** From one look at the Secret to the next. */
  interval: number
  /** How long a CA has to be published until every API server trusts what it signed; each hears of it within a second or so. */
  settle: number
}

const defaultTimes: FollowerTimes = { interval: 5_000, settle: 15_000 }

/** Milliseconds for the requests of a look. */
const lookTimeout = 10_000

export type FollowerOptions = {
  /** The certificate as the Secret has it. */
  read(signal: AbortSignal): Promise<TLSSecret>
  /** The CAs that API servers trust, whichever webhook of ours they ask. */
  published(signal: AbortSignal): Promise<readonly X509Certificate[]>
  /** Serves with another certificate from now on. */
  use(certificate: TLSSecret): void
  /** Told why a certificate cannot be read or used: once while the reason stays the same. What is served is served on. */
  onError(error: unknown): void
  times?: Partial<FollowerTimes>
  clock?: Clock
}

/**
 * Serves, on every replica, with the certificate that is in the Secret, whoever renews it. A new one is not served before its CA has been
 * published for a while, so that no API server ever meets one that it does not trust; unless there is none to serve meanwhile. Nor is it
 * before it is valid by our clock, or when it has expired: the one who made it may have another.
 */
export class CertificateFollower {
  readonly #options: FollowerOptions
  readonly #times: FollowerTimes
  readonly #clock: Clock
  #serving: TLSSecret | undefined
  /** What is to come, and since when its CAs have been seen published. */
  #next: { cert: string; since: number } | undefined
  readonly #complaint: Complaint

  constructor(options: FollowerOptions) {
    this.#options = options
    this.#complaint = new Complaint(options.onError)
    this.#times = { ...defaultTimes, ...options.times }
    this.#clock = options.clock ?? systemClock
  }

  /** The certificate that is served; undefined as long as there is none. */
  get serving(): X509Certificate | undefined {
    return this.#serving?.leaf
  }

  /** Runs until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#look(AbortSignal.any([signal, AbortSignal.timeout(lookTimeout)]))
        this.#complaint.end()
      } catch (error) {
        if (!signal.aborted) this.#complaint.tell(error)
      }
      await this.#clock.sleep(this.#times.interval, signal)
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const found = await this.#options.read(signal)
    if (found.cert === this.#serving?.cert) {
      this.#next = undefined
      return
    }
    const published = await this.#options.published(signal)
    const [canWait, date] = [this.#canWait(), this.#clock.date()]
    if (canWait && found.leaf.validToDate <= date)
      throw new Error(`the one in the Secret has expired at ${found.leaf.validTo}; the one before is served on`)
    if (!found.cas.every((ca) => isAmong(ca, published))) {
      this.#next = undefined
      if (canWait) return
      throw new Error('the webhook configurations do not have its CA yet, in each of their entries')
    }
    if (this.#next?.cert !== found.cert) this.#next = { cert: found.cert, since: this.#clock.now() }
    const isSettled = this.#clock.now() - this.#next.since >= this.#times.settle
    if (canWait && !(isSettled && isValid(found.leaf, date))) return
    this.#options.use(found)
    this.#serving = found
    this.#next = undefined
  }

  /** Whether what we serve is still good. */
  #canWait(): boolean {
    return this.#serving !== undefined && this.#clock.date() < this.#serving.leaf.validToDate
  }
}

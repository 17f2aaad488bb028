import { setTimeout as sleep } from 'node:timers/promises'
import { Fields } from '../api/fields.ts'
import { managedBy, managedByLabel, parseIPAddress } from '../api/ip-address.ts'
import type { NamespacedName } from '../api/metadata.ts'
import { parseService } from '../api/service.ts'
import { ApiError, type KubernetesClient } from '../kubernetes/client.ts'

/** All times in milliseconds. */
export type JanitorTimes = {
  /** How often it looks. */
  interval: number
  /**
   * How long a claim must have been orphaned and untouched. Longer than any admission that relies on it can last: the API server gives
   * a request 60 s (apiserver pkg/server/config.go, RequestTimeout).
   */
  grace: number
}

const defaultTimes: JanitorTimes = { interval: 30_000, grace: 75_000 }

/** Milliseconds for the requests about one claim. */
const requestTimeout = 10_000

export type JanitorOptions = {
  client: KubernetesClient
  /** The addresses whose claims nobody seems to need. */
  orphanedClaims(): readonly string[]
  onCollected(address: string, service: NamespacedName): void
  /** Told of each failure; it is tried again. */
  onError(error: unknown): void
  times?: Partial<JanitorTimes>
  /** Milliseconds of a clock that nobody sets. */
  now?: () => number
}

/** What a claim was when it was first seen orphaned. */
type Orphan = { uid: string; resourceVersion: string; since: number }

/**
 * Deletes claims whose Service is gone, lists the address no more, or was refused after it was given one. It may run in every
 * replica at once: the API server deletes a claim only as it was seen, and whoever relies on one touches it first (claims.ts).
 */
export class Janitor {
  readonly #options: JanitorOptions
  readonly #times: JanitorTimes
  readonly #now: () => number
  #orphans = new Map<string, Orphan>()

  constructor(options: JanitorOptions) {
    this.#options = options
    this.#times = { ...defaultTimes, ...options.times }
    this.#now = options.now ?? (() => performance.now())
  }

  /** Runs until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#sweep(signal)
      await sleep(this.#times.interval, undefined, { signal }).catch(() => {})
    }
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const before = this.#orphans
    this.#orphans = new Map()
    for (const address of this.#options.orphanedClaims()) {
      const timely = AbortSignal.any([signal, AbortSignal.timeout(requestTimeout)])
      try {
        await this.#look(address, before.get(address), timely)
      } catch (error) {
        if (signal.aborted) return
        // Gone, or changed since it was read: then there is nothing to collect for now.
        const isPassed = error instanceof ApiError && (error.status === 404 || error.status === 409)
        if (!isPassed) this.#options.onError(error)
      }
    }
  }

  async #look(address: string, before: Orphan | undefined, signal: AbortSignal): Promise<void> {
    const { client, onCollected } = this.#options
    const claim = await client.get('IPAddress', { namespace: '', name: address }, signal)
    if (claim === undefined) return
    const metadata = new Fields(claim).object('metadata')
    const { service } = parseIPAddress(claim)
    if (service === undefined || metadata.stringMap('labels').get(managedByLabel) !== managedBy) return
    const [uid, resourceVersion] = [String(metadata.raw('uid')), String(metadata.raw('resourceVersion'))]
    const isUntouched = before?.uid === uid && before.resourceVersion === resourceVersion
    const orphan = isUntouched ? before : { uid, resourceVersion, since: this.#now() }
    this.#orphans.set(address, orphan)
    if (this.#now() - orphan.since < this.#times.grace) return
    // Read after the claim: a Service that was stored since has touched its claim, which is then not deleted.
    const present = await client.get('Service', service, signal)
    if (present !== undefined && parseService(present).externalIPs.includes(address)) return
    await client.delete('IPAddress', { namespace: '', name: address }, { uid, resourceVersion }, signal)
    onCollected(address, service)
  }
}

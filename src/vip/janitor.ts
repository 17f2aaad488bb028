import { setTimeout as sleep } from 'node:timers/promises'
import { oldestFirst } from '../api/creation-order.ts'
import { Fields } from '../api/fields.ts'
import { managedBy, managedByLabel, parseIPAddress, releasedAnnotation } from '../api/ip-address.ts'
import { type NamespacedName, readName, sameName } from '../api/metadata.ts'
import { parseService } from '../api/service.ts'
import { ApiError, type KubernetesClient } from '../kubernetes/client.ts'
import type { Claims } from './claims.ts'
import type { AddressRecord } from './ledger.ts'

/** All times in milliseconds. */
export type JanitorTimes = {
  /** How often it looks. */
  interval: number
  /**
   * How long a claim must have been orphaned and untouched until it is released, and again until it is deleted. Longer than any
   * admission that relies on it can last: the API server gives a request 60 s (apiserver pkg/server/config.go, RequestTimeout).
   */
  grace: number
}

const defaultTimes: JanitorTimes = { interval: 30_000, grace: 75_000 }

/** Milliseconds for the requests about one claim. */
const requestTimeout = 10_000

/** What is wrong with an address and is nobody's to mend but its owners'. */
export type Grievance = AddressRecord & { state: 'duplicate' | 'outside' }

export type JanitorOptions = {
  client: KubernetesClient
  claims: Claims
  /** Who has which addresses; undefined while that cannot be told. */
  records(): readonly AddressRecord[] | undefined
  /** Told of each claim that was deleted, */
  onCollected(address: string, service: NamespacedName): void
  /** and of each that was made for a Service which had none. */
  onAdopted(address: string, service: NamespacedName): void
  /** Told at each look of all that is wrong. */
  onLook?(grievances: readonly Grievance[], signal: AbortSignal): Promise<void>
  /** Told of each failure; it is tried again. */
  onError(error: unknown): void
  times?: Partial<JanitorTimes>
  /** Milliseconds of a clock that nobody sets. */
  now?: () => number
}

/** What a claim was when it was first seen orphaned. */
type Orphan = { uid: string; resourceVersion: string; since: number }

const creationOf = (object: unknown) => {
  const fields = new Fields(object)
  return { ...readName(fields), created: fields.object('metadata').string('creationTimestamp') ?? '' }
}

/** Whether a Service as the API server has it, undefined where there is none, lists an address. */
const lists = (service: unknown, address: string): boolean =>
  service !== undefined && parseService(service).externalIPs.includes(address)

const isGrievance = (record: AddressRecord): record is Grievance =>
  record.state === 'duplicate' || record.state === 'outside'

/** Whether a claim is for a Service that does not list the address, as far as is in view. */
const isOrphaned = ({ claim, services }: AddressRecord): boolean => {
  const owner = claim?.service
  return owner !== undefined && !services.some((service) => sameName(service, owner))
}

/**
 * Keeps claims and Services at one. It deletes claims whose Service is gone, lists the address no more, or was refused after it was
 * given one; it claims the addresses of Services that have none, and says who has an address that is another's. No Service is ever
 * changed. One replica is enough, but any number may run at once: the API server deletes a claim only as it was seen, whoever relies on
 * one touches it first, and of one address there can be one claim (claims.ts). Validation only reads a claim, also where mutation was
 * not reached and nobody touched it. So a claim is released first, after which validation heeds it no more, and deleted when it has
 * been so for the grace: whatever was admitted before is stored by then.
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

  /** Runs until the signal is aborted. What was seen before it ran does not count: meanwhile nobody looked. */
  async run(signal: AbortSignal): Promise<void> {
    this.#orphans.clear()
    while (!signal.aborted) {
      await this.#sweep(signal)
      await sleep(this.#times.interval, undefined, { signal }).catch(() => {})
    }
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const records = this.#options.records()
    if (records === undefined) return
    const before = this.#orphans
    this.#orphans = new Map()
    for (const record of records) {
      if (signal.aborted) return
      const { address, claim, services } = record
      if (isOrphaned(record))
        await this.#attempt(signal, (timely) => this.#collect(address, before.get(address), timely))
      else if (claim === undefined && record.pool !== undefined && services.length > 0)
        await this.#attempt(signal, (timely) => this.#adopt(address, services, timely))
    }
    await this.#attempt(signal, async (timely) => this.#options.onLook?.(records.filter(isGrievance), timely))
  }

  async #attempt(signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    try {
      await work(AbortSignal.any([signal, AbortSignal.timeout(requestTimeout)]))
    } catch (error) {
      if (signal.aborted) return
      // Gone, or changed since it was read: then there is nothing to do for now.
      const isPassed = error instanceof ApiError && (error.status === 404 || error.status === 409)
      if (!isPassed) this.#options.onError(error)
    }
  }

  async #collect(address: string, before: Orphan | undefined, signal: AbortSignal): Promise<void> {
    const { client, onCollected } = this.#options
    const claim = await client.get('IPAddress', { namespace: '', name: address }, signal)
    if (claim === undefined) return
    const metadata = new Fields(claim).object('metadata')
    const { service, isReleased } = parseIPAddress(claim)
    if (service === undefined || metadata.stringMap('labels').get(managedByLabel) !== managedBy) return
    const [uid, resourceVersion] = [String(metadata.raw('uid')), String(metadata.raw('resourceVersion'))]
    const isUntouched = before?.uid === uid && before.resourceVersion === resourceVersion
    const orphan = isUntouched ? before : { uid, resourceVersion, since: this.#now() }
    this.#orphans.set(address, orphan)
    if (this.#now() - orphan.since < this.#times.grace) return
    // Read after the claim: a Service that was stored since has touched its claim, which is then neither released nor deleted.
    if (await this.#isListed(address, service, signal)) return
    const name = { namespace: '', name: address }
    if (!isReleased) {
      const annotations = { [releasedAnnotation]: 'true' }
      await client.mergePatch('IPAddress', name, { metadata: { resourceVersion, annotations } }, signal)
      return
    }
    await client.delete('IPAddress', name, { uid, resourceVersion }, signal)
    onCollected(address, service)
  }

  /** Claims an address for the first of the Services that list it, oldest first. */
  async #adopt(address: string, services: readonly NamespacedName[], signal: AbortSignal): Promise<void> {
    const present = await Promise.all(services.map((service) => this.#options.client.get('Service', service, signal)))
    const listing = present.filter((service) => lists(service, address))
    const [oldest] = listing.map(creationOf).sort(oldestFirst)
    if (oldest === undefined) return
    const { claims, onAdopted } = this.#options
    if (await claims.claim(address, oldest, { dryRun: false, signal })) onAdopted(address, oldest)
  }

  async #isListed(address: string, service: NamespacedName, signal: AbortSignal): Promise<boolean> {
    return lists(await this.#options.client.get('Service', service, signal), address)
  }
}

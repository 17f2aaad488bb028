import { managedBy, managedByLabel } from '../api/ip-address.ts'
import type { Kind } from '../api/kinds.ts'
import type { NamespacedName } from '../api/metadata.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { ObjectStore } from './object-store.ts'
import { ReadThroughCluster, type ReadThroughOptions, ReadThroughView, untilRead } from './read-through.ts'
import { Reflector, type ReflectorTimes } from './reflector.ts'
import type { Cluster, ClusterView } from './view.ts'

/** The kinds that are watched. Endpoints are many and change all the time: they are read when they are asked for. */
const watched: readonly { kind: Kind; labels?: string }[] = [
  { kind: 'Namespace' },
  { kind: 'Service' },
  { kind: 'VirtualService' },
  { kind: 'ServiceEntry' },
  { kind: 'DestinationRule' },
  // Those of the core controllers, one a ClusterIP, are none of ours.
  { kind: 'IPAddress', labels: `${managedByLabel}=${managedBy}` },
]

/** What is watched, and for the rest what is read. */
class WatchedView implements ClusterView {
  readonly unlistedNamespacesSelected = false
  readonly #store: ObjectStore
  readonly #rest: ReadThroughView

  constructor(store: ObjectStore, rest: ReadThroughView) {
    this.#store = store
    this.#rest = rest
  }

  namespace(name: string) {
    return this.#store.namespace(name)
  }

  service(name: NamespacedName) {
    return this.#store.service(name)
  }

  servicesUnder(wildcard: string) {
    return this.#store.servicesUnder(wildcard)
  }

  virtualHostCandidates(namespace: string, port: number) {
    return this.#store.virtualHostCandidates(namespace, port)
  }

  serviceEntries(host: string) {
    return this.#store.serviceEntries(host)
  }

  virtualServices(host: string) {
    return this.#store.virtualServices(host)
  }

  virtualServicesTo(host: string) {
    return this.#store.virtualServicesTo(host)
  }

  destinationRules(host: string) {
    return this.#store.destinationRules(host)
  }

  endpointSlices(service: NamespacedName) {
    return this.#rest.endpointSlices(service)
  }

  endpoints(service: NamespacedName) {
    return this.#rest.endpoints(service)
  }

  holders(address: string) {
    return this.#store.holders(address)
  }

  claim(address: string) {
    return this.#store.claim(address)
  }

  claimsOf(service: NamespacedName) {
    return this.#store.claimsOf(service)
  }
}

/**
 * A view that is read afresh, but for one thing: of an address only those are read that are known to hold it. Others could only take
 * it away, and that is for the claim to settle; to find them, all Services of the cluster would have to be read.
 */
class ConfirmingView extends ReadThroughView {
  readonly #known: ObjectStore

  constructor(known: ObjectStore, options: ReadThroughOptions, signal: AbortSignal) {
    super(options, signal)
    this.#known = known
  }

  override holders(address: string) {
    this.claim(address)
    for (const { kind, name } of this.#known.holders(address)) this.wantObject(kind, name)
    return this.store.holders(address)
  }
}

/**
 * Why a question took a read: a watch is down, a denial is to be confirmed, or the kind is not watched.
 */
export type ReadReason = 'out-of-view' | 'confirmation' | 'unwatched'

export type WatchedOptions = {
  client: KubernetesClient
  clusterDomain: string
  onError(kind: Kind, error: unknown): void
  /** Told of each read that a question took. */
  onRead?(kind: Kind, reason: ReadReason): void
  times?: Partial<ReflectorTimes>
}

/** A live cluster in view: it is watched, and while a part of it is out of sight it is read at each question. */
export class WatchedCluster implements Cluster {
  readonly reflectors: readonly Reflector[]
  readonly #store: ObjectStore
  readonly #rest: ReadThroughOptions
  readonly #now: ReadThroughOptions
  readonly #outOfView: Cluster

  constructor(options: WatchedOptions) {
    const { client, clusterDomain, onRead } = options
    const readFor = (reason: ReadReason): ReadThroughOptions => ({
      client,
      clusterDomain,
      onRead: (kind) => onRead?.(kind, reason),
    })
    this.#store = new ObjectStore({ clusterDomain, unlistedNamespacesSelected: false })
    this.#rest = readFor('unwatched')
    this.#now = readFor('confirmation')
    this.#outOfView = new ReadThroughCluster(readFor('out-of-view'))
    this.reflectors = watched.map((selection) => new Reflector({ ...options, ...selection, store: this.#store }))
  }

  /** Takes in an object of a watched kind that we just wrote ourselves. */
  learn(kind: Kind, object: unknown): void {
    this.reflectors.find((reflector) => reflector.kind === kind)?.learn(object)
  }

  /** The addresses whose claims nobody seems to need, as far as is in view. */
  orphanedClaims(): readonly string[] {
    return this.isCurrent ? this.#store.orphanedClaims() : []
  }

  /** Watches until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.reflectors.map((reflector) => reflector.run(signal)))
  }

  /** Whether everything is in view, and every change of it is heard of. */
  get isCurrent(): boolean {
    return this.reflectors.every((reflector) => reflector.isCurrent)
  }

  ask<T>(question: (view: ClusterView) => T, signal: AbortSignal): Promise<T> {
    if (!this.isCurrent) return this.#outOfView.ask(question, signal)
    const rest = new ReadThroughView(this.#rest, signal)
    const view = new WatchedView(this.#store, rest)
    return untilRead(rest, () => question(view))
  }

  async decide<T>(
    question: (view: ClusterView) => T,
    isGrave: (answer: T) => boolean,
    signal: AbortSignal,
  ): Promise<T> {
    if (!this.isCurrent) return this.#outOfView.decide(question, isGrave, signal)
    const answer = await this.ask(question, signal)
    if (!isGrave(answer)) return answer
    const now = new ConfirmingView(this.#store, this.#now, signal)
    return untilRead(now, () => question(now))
  }
}

import { managedBy, managedByLabel } from '../api/ip-address.ts'
import type { Kind } from '../api/kinds.ts'
import type { NamespacedName } from '../api/metadata.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { ObjectStore } from './object-store.ts'
import { ReadThroughCluster, ReadThroughView, untilRead } from './read-through.ts'
import { Reflector, type ReflectorTimes } from './reflector.ts'
import type { Cluster, ClusterView } from './view.ts'

/** The kinds that are watched. Endpoints are many and change all the time: they are read when they are asked for. */
const watched: readonly { kind: Kind; labels?: string }[] = [
  { kind: 'Namespace' },
  { kind: 'Service' },
  { kind: 'VirtualService' },
  { kind: 'ServiceEntry' },
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

  serviceEntries(host: string) {
    return this.#store.serviceEntries(host)
  }

  virtualServices(host: string) {
    return this.#store.virtualServices(host)
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

export type WatchedOptions = {
  client: KubernetesClient
  clusterDomain: string
  onError(kind: Kind, error: unknown): void
  times?: Partial<ReflectorTimes>
}

/** A live cluster in view: it is watched, and while a part of it is out of sight it is read at each question. */
export class WatchedCluster implements Cluster {
  readonly reflectors: readonly Reflector[]
  readonly #client: KubernetesClient
  readonly #clusterDomain: string
  readonly #store: ObjectStore
  readonly #readThrough: ReadThroughCluster

  constructor(options: WatchedOptions) {
    const { client, clusterDomain } = options
    this.#client = client
    this.#clusterDomain = clusterDomain
    this.#store = new ObjectStore({ clusterDomain, unlistedNamespacesSelected: false })
    this.#readThrough = new ReadThroughCluster(client, clusterDomain)
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
    if (!this.isCurrent) return this.#readThrough.ask(question, signal)
    const rest = new ReadThroughView(this.#client, this.#clusterDomain, signal)
    const view = new WatchedView(this.#store, rest)
    return untilRead(rest, () => question(view))
  }

  confirm<T>(question: (view: ClusterView) => T, signal: AbortSignal): Promise<T> {
    return this.#readThrough.confirm(question, signal)
  }
}

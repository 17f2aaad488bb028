import type { Block } from '../api/address.ts'
import { managedBy, managedByLabel } from '../api/ip-address.ts'
import type { Kind } from '../api/kinds.ts'
import type { NamespacedName } from '../api/metadata.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import type { Addresses } from '../vip/ledger.ts'
import { ObjectStore } from './object-store.ts'
import { type ReadThroughOptions, ReadThroughView, untilRead } from './read-through.ts'
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

/**
 * What is watched, and for the rest what is read. A Namespace, a Service or a delegate that is not in view is looked for, too: of a batch that is
 * applied, the event of one object may come after the review of the next. So is the claim on an address, on which it rests that nobody
 * else has it.
 */
class WatchedView implements ClusterView {
  readonly unlistedNamespacesSelected = false
  readonly #store: ObjectStore
  readonly #rest: ReadThroughView
  readonly #isCurrent: (...kinds: Kind[]) => boolean

  constructor(store: ObjectStore, rest: ReadThroughView, isCurrent: (...kinds: Kind[]) => boolean) {
    this.#store = store
    this.#rest = rest
    this.#isCurrent = isCurrent
  }

  /** Who answers a question about these kinds. */
  #of(...kinds: Kind[]): ClusterView {
    return this.#isCurrent(...kinds) ? this.#store : this.#rest
  }

  namespace(name: string) {
    return this.#of('Namespace').namespace(name) ?? this.#rest.namespace(name)
  }

  service(name: NamespacedName) {
    return this.#of('Service').service(name) ?? this.#rest.service(name)
  }

  servicesUnder(wildcard: string) {
    return this.#of('Service').servicesUnder(wildcard)
  }

  virtualHostCandidates(namespace: string, port: number) {
    return this.#of('Service').virtualHostCandidates(namespace, port)
  }

  serviceEntries(host: string) {
    return this.#of('ServiceEntry').serviceEntries(host)
  }

  virtualServices(host: string) {
    return this.#of('VirtualService').virtualServices(host)
  }

  virtualService(name: NamespacedName) {
    return this.#of('VirtualService').virtualService(name) ?? this.#rest.virtualService(name)
  }

  virtualServicesWithDelegate(name: NamespacedName) {
    return this.#of('VirtualService').virtualServicesWithDelegate(name)
  }

  virtualServicesTo(host: string) {
    return this.#of('VirtualService').virtualServicesTo(host)
  }

  destinationRules(host: string) {
    return this.#of('DestinationRule').destinationRules(host)
  }

  endpointSlices(service: NamespacedName) {
    return this.#rest.endpointSlices(service)
  }

  endpoints(service: NamespacedName) {
    return this.#rest.endpoints(service)
  }

  holders(address: string) {
    return this.#of('Service', 'ServiceEntry', 'IPAddress').holders(address)
  }

  heldWithin(block: Block) {
    return this.#of('Service', 'ServiceEntry', 'IPAddress').heldWithin(block)
  }

  claim(address: string) {
    return this.#rest.claim(address)
  }

  claimsOf(service: NamespacedName) {
    return this.#of('IPAddress').claimsOf(service)
  }
}

/**
 * A view that is read afresh, but for this: of an address only those are read that are known to hold it, and of a port those that are
 * known to have it. Others could only be found by reading all Services of the cluster, or of the namespace. Who else takes an address
 * is for its claim to settle; who else has a port is no reason to admit.
 */
class ConfirmingView extends ReadThroughView {
  readonly #known: ObjectStore

  constructor(known: ObjectStore, options: ReadThroughOptions, signal: AbortSignal) {
    super(options, signal)
    this.#known = known
  }

  override virtualHostCandidates(namespace: string, port: number) {
    for (const known of this.#known.virtualHostCandidates(namespace, port)) this.wantObject('Service', known)
    return this.store.virtualHostCandidates(namespace, port)
  }

  override holders(address: string) {
    this.claim(address)
    for (const { kind, name } of this.#known.holders(address)) this.wantObject(kind, name)
    return this.store.holders(address)
  }
}

/** Why a question took a read: an object is not in view, a watch is down, a denial is to be confirmed, or the kind is not watched. */
export type ReadReason = 'miss' | 'out-of-view' | 'confirmation' | 'unwatched'

export type WatchedOptions = {
  client: KubernetesClient
  clusterDomain: string
  onError(kind: Kind, error: unknown): void
  /** Told of each read that a question took. */
  onRead?(kind: Kind, reason: ReadReason): void
  times?: Partial<ReflectorTimes>
}

/** A live cluster in view: it is watched, and a kind of which the watch is down is read at each question. */
export class WatchedCluster implements Cluster {
  readonly reflectors: readonly Reflector[]
  readonly #options: WatchedOptions
  readonly #store: ObjectStore

  constructor(options: WatchedOptions) {
    this.#options = options
    this.#store = new ObjectStore({ clusterDomain: options.clusterDomain, unlistedNamespacesSelected: false })
    this.reflectors = watched.map((selection) => new Reflector({ ...options, ...selection, store: this.#store }))
  }

  /** Takes in an object of a watched kind that we just wrote ourselves. */
  learn(kind: Kind, object: unknown): void {
    this.#reflector(kind)?.learn(object)
  }

  /** Who has which addresses, as far as is in view; undefined while not everything is. */
  get addresses(): Addresses | undefined {
    return this.isCurrent ? this.#store : undefined
  }

  /** Watches until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.reflectors.map((reflector) => reflector.run(signal)))
  }

  /** Whether everything is in view, and every change of it is heard of. */
  get isCurrent(): boolean {
    return this.reflectors.every((reflector) => reflector.isCurrent)
  }

  #reflector(kind: Kind): Reflector | undefined {
    return this.reflectors.find((reflector) => reflector.kind === kind)
  }

  #inView(...kinds: Kind[]): boolean {
    return kinds.every((kind) => this.#reflector(kind)?.isCurrent)
  }

  #reading(reasonFor: (kind: Kind) => ReadReason): ReadThroughOptions {
    const { client, clusterDomain, onRead } = this.#options
    return { client, clusterDomain, onRead: (kind) => onRead?.(kind, reasonFor(kind)) }
  }

  ask<T>(question: (view: ClusterView) => T, signal: AbortSignal): Promise<T> {
    const isWatched = (kind: Kind) => this.#reflector(kind) !== undefined
    const reasonFor = (kind: Kind) => (this.#inView(kind) ? 'miss' : isWatched(kind) ? 'out-of-view' : 'unwatched')
    const rest = new ReadThroughView(this.#reading(reasonFor), signal)
    // Asked anew at each round: a watch may go down while something is read.
    const view = new WatchedView(this.#store, rest, (...kinds) => this.#inView(...kinds))
    return untilRead(rest, () => question(view))
  }

  async decide<T>(
    question: (view: ClusterView) => T,
    isGrave: (answer: T) => boolean,
    signal: AbortSignal,
  ): Promise<T> {
    const answer = await this.ask(question, signal)
    if (!isGrave(answer)) return answer
    const reading = this.#reading(() => 'confirmation')
    const now = this.#inView('Service', 'ServiceEntry')
      ? new ConfirmingView(this.#store, reading, signal)
      : new ReadThroughView(reading, signal)
    return untilRead(now, () => question(now))
  }
}

import type { AddressRange, Block } from '../api/address.ts'
import type { DestinationRule } from '../api/destination-rule.ts'
import type { EndpointSlice } from '../api/endpoint-slice.ts'
import type { Endpoints } from '../api/endpoints.ts'
import type { NamespacedName } from '../api/metadata.ts'
import type { Namespace } from '../api/namespace.ts'
import type { Service } from '../api/service.ts'
import type { ServiceEntry } from '../api/service-entry.ts'
import type { VirtualService } from '../api/virtual-service.ts'

/** Who holds an address: a claim, a Service's externalIPs or load balancer, or a ServiceEntry. */
export type Holder = {
  kind: 'IPAddress' | 'Service' | 'ServiceEntry'
  name: NamespacedName
  /** The Service that holds it, or that the claim is for; undefined for everything that is no Service. */
  service: NamespacedName | undefined
  /** For messages: `Service shop/orders`. */
  text: string
  /** Set where it is one address among a range. */
  range?: AddressRange
  /** Set on a claim that is about to be collected, and is to be relied on no more. */
  isReleased?: true
}

/** How much of a block of addresses is held. */
export type Held = {
  /** How many addresses of it, in a block of 2^4, 2^8, 2^12 or 2^16 of them; 0 in others, where nobody counts. */
  addresses: number
  /** The ranges of ServiceEntries that hold all of it. */
  ranges: readonly AddressRange[]
}

/**
 * The questions that rules may ask about the other objects of a cluster. Answers come at once and without side effects: whoever
 * implements this has the objects at hand, or notes the question and asks again when it has (read-through.ts).
 */
export type ClusterView = {
  /** Whether a namespace that the view does not list belongs to the mesh: so it is for manifests, which seldom name it. */
  readonly unlistedNamespacesSelected: boolean
  namespace(name: string): Namespace | undefined
  service(name: NamespacedName): Service | undefined
  /** The Services under a wildcard host such as `*.shop.svc.cluster.local`. */
  servicesUnder(wildcard: string): readonly Service[]
  /** The Services of a namespace that have this port and may be virtual hosts by their own fields, those with external IPs first. */
  virtualHostCandidates(namespace: string, port: number): Iterable<Service>
  /** The ServiceEntries that list a host in any spelling, or a wildcard over it, or, for a wildcard, any host under it. In lower case. */
  serviceEntries(host: string): readonly ServiceEntry[]
  /** The VirtualServices that list this host, in any spelling that Istio takes for it, or a wildcard over it. */
  virtualServices(host: string): readonly VirtualService[]
  virtualService(name: NamespacedName): VirtualService | undefined
  /** The VirtualServices that have a route whose delegate is this one. */
  virtualServicesWithDelegate(name: NamespacedName): readonly VirtualService[]
  /** The VirtualServices with a destination, or a mirror, of this host. */
  virtualServicesTo(host: string): readonly VirtualService[]
  /** The DestinationRules for this host, or for a wildcard over it. */
  destinationRules(host: string): readonly DestinationRule[]
  /** The EndpointSlices that belong to a Service by label. */
  endpointSlices(service: NamespacedName): readonly EndpointSlice[]
  /** The Endpoints of a Service's name, which may be there before any slice is. */
  endpoints(service: NamespacedName): Endpoints | undefined
  /** Who holds this address, claims first. The address in canonical form. */
  holders(address: string): readonly Holder[]
  /** How much of a block is held. */
  heldWithin(block: Block): Held
  /** The claim on this address alone. */
  claim(address: string): Holder | undefined
  /** The addresses that are claimed for a Service. */
  claimsOf(service: NamespacedName): readonly string[]
}

/** A cluster that can be asked. The question must be pure: it may be put several times before its answer stands. */
export type Cluster = {
  /** Answers out of what is known. Rejects where the cluster cannot be read, or the signal is aborted before it was. */
  ask<T>(question: (view: ClusterView) => T, signal: AbortSignal): Promise<T>
  /**
   * Answers as ask does; but an answer of which `isGrave` is true is only taken from what the cluster says now: what it rests on is
   * read afresh, together and once.
   */
  decide<T>(question: (view: ClusterView) => T, isGrave: (answer: T) => boolean, signal: AbortSignal): Promise<T>
}

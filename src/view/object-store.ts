import { type AddressRange, rangeContains } from '../api/address.ts'
import type { EndpointSlice } from '../api/endpoint-slice.ts'
import type { Endpoints } from '../api/endpoints.ts'
import type { IPAddress } from '../api/ip-address.ts'
import type { KnownObject } from '../api/kinds.ts'
import { formatName, type NamespacedName } from '../api/metadata.ts'
import type { Namespace } from '../api/namespace.ts'
import type { Service } from '../api/service.ts'
import type { ServiceEntry } from '../api/service-entry.ts'
import type { VirtualService } from '../api/virtual-service.ts'
import { isWildcard, matchesHost, resolveShortName, serviceHost } from '../istio/hosts.ts'
import { IndexedObjects } from './indexed-objects.ts'
import type { ClusterView, Holder } from './view.ts'

const serviceHolder = (service: NamespacedName): Holder => ({
  kind: 'Service',
  service: { namespace: service.namespace, name: service.name },
  text: `Service ${formatName(service)}`,
})

const claimHolder = ({ service, parent }: IPAddress): Holder => ({ kind: 'IPAddress', service, text: parent })

const entryHolder = (entry: NamespacedName, range?: AddressRange): Holder => ({
  kind: 'ServiceEntry',
  service: undefined,
  text: `ServiceEntry ${formatName(entry)}`,
  ...(range === undefined ? {} : { range }),
})

/** Objects in memory, with an index for each question that rules ask. */
export class ObjectStore implements ClusterView {
  readonly unlistedNamespacesSelected: boolean
  readonly #clusterDomain: string
  readonly #namespaces = new Map<string, Namespace>()
  readonly #claims = new Map<string, IPAddress>()
  readonly #services = new IndexedObjects<Service>(({ externalIPs, loadBalancerIPs }) => [
    ...externalIPs,
    ...loadBalancerIPs,
  ])
  readonly #endpoints = new IndexedObjects<Endpoints>(() => [])
  readonly #endpointSlices = new IndexedObjects<EndpointSlice>(({ namespace, service }) => [`${namespace}/${service}`])
  readonly #virtualServices: IndexedObjects<VirtualService>
  readonly #entriesByHost = new IndexedObjects<ServiceEntry>(({ hosts }) => hosts)
  readonly #entriesByAddress = new IndexedObjects<ServiceEntry>(({ addresses }) => addresses)
  /** Few entries have any, so that these are looked through one by one. */
  readonly #entriesWithRanges = new IndexedObjects<ServiceEntry>(() => [])

  constructor(options: { clusterDomain: string; unlistedNamespacesSelected: boolean }) {
    this.#clusterDomain = options.clusterDomain
    this.unlistedNamespacesSelected = options.unlistedNamespacesSelected
    this.#virtualServices = new IndexedObjects(({ hosts, namespace }) =>
      hosts.map((host) => resolveShortName(host, namespace, this.#clusterDomain).toLowerCase()),
    )
  }

  put({ kind, object }: KnownObject): void {
    switch (kind) {
      case 'Namespace':
        this.#namespaces.set(object.name, object)
        break
      case 'IPAddress':
        this.#claims.set(object.address, object)
        break
      case 'Service':
        this.#services.put(object)
        break
      case 'Endpoints':
        this.#endpoints.put(object)
        break
      case 'EndpointSlice':
        this.#endpointSlices.put(object)
        break
      case 'VirtualService':
        this.#virtualServices.put(object)
        break
      case 'ServiceEntry':
        this.#entriesByHost.put(object)
        this.#entriesByAddress.put(object)
        if (object.ranges.length > 0) this.#entriesWithRanges.put(object)
        else this.#entriesWithRanges.delete(object)
        break
    }
  }

  /** Takes a Service away, and the claims that are for it. */
  deleteService(name: NamespacedName): void {
    this.#services.delete(name)
    for (const address of this.claimsOf(name)) this.#claims.delete(address)
  }

  deleteVirtualService(name: NamespacedName): void {
    this.#virtualServices.delete(name)
  }

  namespace(name: string): Namespace | undefined {
    return this.#namespaces.get(name)
  }

  service(name: NamespacedName): Service | undefined {
    return this.#services.get(name)
  }

  servicesUnder(wildcard: string): readonly Service[] {
    return [...this.#services.all()].filter((service) =>
      matchesHost(wildcard, serviceHost(service, this.#clusterDomain)),
    )
  }

  serviceEntries(host: string): readonly ServiceEntry[] {
    if (!isWildcard(host)) return this.#entriesByHost.under(host)
    return [...this.#entriesByHost.all()].filter((entry) => entry.hosts.some((listed) => matchesHost(host, listed)))
  }

  virtualServices(host: string): readonly VirtualService[] {
    // A wildcard over the host ends with one of its suffixes: *.b.c over a.b.c.
    const labels = host.split('.')
    const wildcards = labels.map((_, index) => ['*', ...labels.slice(index + 1)].join('.'))
    return [...new Set([host, ...wildcards].flatMap((listed) => this.#virtualServices.under(listed)))]
  }

  endpoints(service: NamespacedName): Endpoints | undefined {
    return this.#endpoints.get(service)
  }

  endpointSlices(service: NamespacedName): readonly EndpointSlice[] {
    return this.#endpointSlices.under(formatName(service))
  }

  claim(address: string): Holder | undefined {
    const claim = this.#claims.get(address)
    return claim === undefined ? undefined : claimHolder(claim)
  }

  claimsOf(service: NamespacedName): readonly string[] {
    const owner = formatName(service)
    return [...this.#claims.values()]
      .filter((claim) => claim.service !== undefined && formatName(claim.service) === owner)
      .map(({ address }) => address)
  }

  holders(address: string): readonly Holder[] {
    const claim = this.claim(address)
    return [
      ...(claim === undefined ? [] : [claim]),
      ...this.#services.under(address).map(serviceHolder),
      ...this.#entriesByAddress.under(address).map((entry) => entryHolder(entry)),
      ...[...this.#entriesWithRanges.all()].flatMap((entry) =>
        entry.ranges.filter((range) => rangeContains(range, address)).map((range) => entryHolder(entry, range)),
      ),
    ]
  }
}

import { type AddressRange, parseAddress, rangeAround } from '../api/address.ts'
import type { IPAddress } from '../api/ip-address.ts'
import type { Kind, Objects } from '../api/kinds.ts'
import { formatName, type NamespacedName } from '../api/metadata.ts'
import { mayBeVirtualHost, type Service } from '../api/service.ts'
import type { VirtualService } from '../api/virtual-service.ts'
import { isWildcard, matchesEitherWay, resolveShortName } from '../istio/hosts.ts'
import { IndexedObjects } from './indexed-objects.ts'
import { Shared } from './shared.ts'
import type { ClusterView, Holder } from './view.ts'

const nameOf = ({ namespace, name }: NamespacedName): NamespacedName => ({ namespace, name })

const serviceHolder = (service: NamespacedName): Holder => ({
  kind: 'Service',
  name: nameOf(service),
  service: nameOf(service),
  text: `Service ${formatName(service)}`,
})

const claimHolder = (claim: IPAddress): Holder => ({
  kind: 'IPAddress',
  name: nameOf(claim),
  service: claim.service,
  text: claim.parent,
})

const entryHolder = (entry: NamespacedName, range?: AddressRange): Holder => ({
  kind: 'ServiceEntry',
  name: nameOf(entry),
  service: undefined,
  text: `ServiceEntry ${formatName(entry)}`,
  ...(range === undefined ? {} : { range }),
})

/** How many lists of a field are shared among Services. More than these only take more memory. */
const maxShared = 1_000

/** No name in DNS is longer. */
const maxHostLength = 253

/** A host and the wildcards over it: `a.b.c`, `*.b.c`, `*.c`, `*`. */
const withWildcards = (host: string): string[] => {
  const labels = host.length > maxHostLength ? [] : host.split('.')
  return [host, ...labels.map((_, index) => ['*', ...labels.slice(index + 1)].join('.'))]
}

const destinationsOf = ({ routes }: VirtualService): string[] =>
  routes.flatMap(({ destinations, mirrors }) => [...destinations, ...mirrors].map(({ host }) => host))

const delegatesOf = ({ namespace, routes }: VirtualService): NamespacedName[] =>
  routes.flatMap(({ delegate }) =>
    delegate === undefined ? [] : [{ namespace: delegate.namespace || namespace, name: delegate.name }],
  )

/** Objects in memory, with an index for each question that rules ask. */
export class ObjectStore implements ClusterView {
  readonly unlistedNamespacesSelected: boolean
  readonly #clusterDomain: string
  readonly #objects: { readonly [K in Kind]: IndexedObjects<Objects[K]> }

  constructor(options: { clusterDomain: string; unlistedNamespacesSelected: boolean }) {
    const { clusterDomain } = options
    this.#clusterDomain = clusterDomain
    this.unlistedNamespacesSelected = options.unlistedNamespacesSelected
    const ports = new Shared<Service['ports']>(maxShared)
    const addresses = new Shared<readonly string[]>(maxShared)
    /** As Istio compares hosts: expanded, in lower case. */
    const hostIn = (namespace: string) => (host: string) =>
      resolveShortName(host, namespace, clusterDomain).toLowerCase()
    this.#objects = {
      Namespace: new IndexedObjects(() => []),
      Service: new IndexedObjects(
        (service) => [
          ...[...service.externalIPs, ...service.loadBalancerIPs].map((address) => `address ${address}`),
          ...(mayBeVirtualHost(service) ? service.ports.map(({ port }) => `port ${service.namespace} ${port}`) : []),
        ],
        (service) => ({
          ...service,
          ports: ports.of(service.ports),
          externalIPs: addresses.of(service.externalIPs),
          loadBalancerIPs: addresses.of(service.loadBalancerIPs),
        }),
      ),
      Endpoints: new IndexedObjects(() => []),
      EndpointSlice: new IndexedObjects(({ namespace, service }) => [`${namespace}/${service}`]),
      IPAddress: new IndexedObjects(({ service }) => (service === undefined ? [] : [formatName(service)])),
      VirtualService: new IndexedObjects((virtualService) => [
        ...virtualService.hosts.map(hostIn(virtualService.namespace)).map((host) => `host ${host}`),
        ...destinationsOf(virtualService)
          .map(hostIn(virtualService.namespace))
          .map((host) => `destination ${host}`),
        ...delegatesOf(virtualService).map((delegate) => `delegate ${formatName(delegate)}`),
      ]),
      DestinationRule: new IndexedObjects(({ host, namespace }) => [hostIn(namespace)(host)]),
      ServiceEntry: new IndexedObjects(({ hosts, addresses, ranges }) => [
        ...hosts.map((host) => `host ${host.toLowerCase()}`),
        ...addresses.map((address) => `address ${address}`),
        // Few entries have any, so that these are looked through one by one.
        ...(ranges.length === 0 ? [] : ['ranges']),
      ]),
    }
  }

  put<K extends Kind>({ kind, object }: { kind: K; object: Objects[K] }): void {
    this.#objects[kind].put(object)
  }

  delete(kind: Kind, name: NamespacedName): void {
    this.#objects[kind].delete(name)
  }

  /** How many objects there are of a kind. */
  size(kind: Kind): number {
    return this.#objects[kind].size
  }

  /** All objects of a kind. */
  all(kind: Kind): Iterable<NamespacedName> {
    return this.#objects[kind].all()
  }

  namespace(name: string) {
    return this.#objects.Namespace.get({ namespace: '', name })
  }

  service(name: NamespacedName) {
    return this.#objects.Service.get(name)
  }

  servicesUnder(wildcard: string) {
    const suffix = wildcard.slice(1)
    const local = `.svc.${this.#clusterDomain}`
    const services = this.#objects.Service
    // An asterisk stands for whole labels.
    if (suffix === '' || (suffix.startsWith('.') && local.endsWith(suffix))) return [...services.all()]
    const [, namespace, ...more] = suffix.endsWith(local) ? suffix.slice(0, -local.length).split('.') : []
    const isNamespace = suffix.startsWith('.') && namespace !== undefined && more.length === 0
    return isNamespace ? services.within(namespace) : []
  }

  virtualHostCandidates(namespace: string, port: number) {
    return this.#objects.Service.under(`port ${namespace} ${port}`)
  }

  serviceEntries(host: string) {
    const entries = this.#objects.ServiceEntry
    if (!isWildcard(host)) return this.#under(entries, host)
    return [...entries.all()].filter((entry) =>
      entry.hosts.some((listed) => matchesEitherWay(host, listed.toLowerCase())),
    )
  }

  /** The objects that list a host, or a wildcard over it. */
  #under<T extends NamespacedName>(objects: IndexedObjects<T>, host: string): T[] {
    return [...new Set(withWildcards(host).flatMap((listed) => objects.under(`host ${listed}`)))]
  }

  virtualService(name: NamespacedName) {
    return this.#objects.VirtualService.get(name)
  }

  virtualServicesWithDelegate(name: NamespacedName) {
    return this.#objects.VirtualService.under(`delegate ${formatName(name)}`)
  }

  virtualServices(host: string) {
    return this.#under(this.#objects.VirtualService, host)
  }

  virtualServicesTo(host: string) {
    return this.#objects.VirtualService.under(`destination ${host}`)
  }

  destinationRules(host: string) {
    return withWildcards(host).flatMap((listed) => this.#objects.DestinationRule.under(listed))
  }

  endpoints(service: NamespacedName) {
    return this.#objects.Endpoints.get(service)
  }

  endpointSlices(service: NamespacedName) {
    return this.#objects.EndpointSlice.under(formatName(service))
  }

  claim(address: string): Holder | undefined {
    const claim = this.#objects.IPAddress.get({ namespace: '', name: address })
    return claim === undefined ? undefined : claimHolder(claim)
  }

  /** The addresses that are claimed for Services which are not there, or do not list them. */
  orphanedClaims(): string[] {
    return [...this.#objects.IPAddress.all()].flatMap(({ name, service }) =>
      service === undefined || this.service(service)?.externalIPs.includes(name) ? [] : [name],
    )
  }

  claimsOf(service: NamespacedName): readonly string[] {
    return this.#objects.IPAddress.under(formatName(service)).map(({ name }) => name)
  }

  #rangesAround(address: string): Holder[] {
    const entries = this.#objects.ServiceEntry.under('ranges')
    if (entries.length === 0) return []
    const parsed = parseAddress(address)
    if (parsed === undefined) return []
    return entries.flatMap((entry) => {
      const range = rangeAround(entry.ranges, parsed)
      return range === undefined ? [] : [entryHolder(entry, range)]
    })
  }

  holders(address: string): readonly Holder[] {
    const claim = this.claim(address)
    const entries = this.#objects.ServiceEntry
    return [
      ...(claim === undefined ? [] : [claim]),
      ...this.#objects.Service.under(`address ${address}`).map(serviceHolder),
      ...entries.under(`address ${address}`).map((entry) => entryHolder(entry)),
      ...this.#rangesAround(address),
    ]
  }
}

import { type AddressRange, type Block, mergeRanges, parseAddress, rangeAround } from '../api/address.ts'
import type { DestinationRule } from '../api/destination-rule.ts'
import type { IPAddress } from '../api/ip-address.ts'
import type { Kind, KnownObject, Objects } from '../api/kinds.ts'
import { formatName, type NamespacedName } from '../api/metadata.ts'
import { mayBeVirtualHost, type Service } from '../api/service.ts'
import type { ServiceEntry } from '../api/service-entry.ts'
import type { VirtualService } from '../api/virtual-service.ts'
import { isWildcard, matchesEitherWay, resolveShortName } from '../istio/hosts.ts'
import { type AddressHolder, AddressIndex } from './address-index.ts'
import { IndexedObjects } from './indexed-objects.ts'
import { Shared } from './shared.ts'
import type { ClusterView, Held, Holder } from './view.ts'

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
  ...(claim.isReleased ? { isReleased: true as const } : {}),
})

const entryHolder = (entry: NamespacedName, range?: AddressRange): Holder => ({
  kind: 'ServiceEntry',
  name: nameOf(entry),
  service: undefined,
  text: `ServiceEntry ${formatName(entry)}`,
  ...(range === undefined ? {} : { range }),
})

const holderOf = (holder: AddressHolder): Holder => {
  switch (holder.kind) {
    case 'IPAddress':
      return claimHolder(holder.object)
    case 'Service':
      return serviceHolder(holder.object)
    case 'ServiceEntry':
      return entryHolder(holder.object)
  }
}

const isAddressHolder = (known: KnownObject): known is AddressHolder =>
  known.kind === 'IPAddress' || known.kind === 'Service' || known.kind === 'ServiceEntry'

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

const portKey = (namespace: string, port: number): string => `${namespace} ${port}`

/** Where virtual hosts are looked for by their ports. */
const portKeys = (service: Service): string[] =>
  mayBeVirtualHost(service) ? service.ports.map(({ port }) => portKey(service.namespace, port)) : []

const hasAddress = ({ externalIPs }: Service): boolean => externalIPs.length > 0

/** The indexes of what lists hosts. Wildcards are few, so that in a table of their own the many that a host has are soon not found. */
type HostIndex = 'host' | 'wildcard'

const hostIndexes = <T>(hostsOf: (object: T) => readonly string[]): Record<HostIndex, (object: T) => string[]> => ({
  host: (object) => hostsOf(object).filter((host) => !isWildcard(host)),
  wildcard: (object) => hostsOf(object).filter(isWildcard),
})

/** The one key under which the ServiceEntries with ranges are. */
const withRanges = ''

/** The indexes of each kind. */
type Indexes = {
  Namespace: never
  Service: 'portWithAddress' | 'portWithoutAddress'
  Endpoints: never
  EndpointSlice: 'service'
  IPAddress: 'service'
  VirtualService: HostIndex | 'destination' | 'delegate'
  DestinationRule: HostIndex
  ServiceEntry: HostIndex | 'ranges'
}

/** Objects in memory, with an index for each question that rules ask. */
export class ObjectStore implements ClusterView {
  readonly unlistedNamespacesSelected: boolean
  readonly #clusterDomain: string
  readonly #objects: { readonly [K in Kind]: IndexedObjects<Objects[K], Indexes[K]> }
  readonly #addresses = new AddressIndex()
  /** What the ranges of all ServiceEntries cover together: nothing of most addresses. Undefined until it is asked for. */
  #covered: readonly AddressRange[] | undefined

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
      Namespace: new IndexedObjects({}),
      Service: new IndexedObjects(
        {
          portWithAddress: (service) => (hasAddress(service) ? portKeys(service) : []),
          portWithoutAddress: (service) => (hasAddress(service) ? [] : portKeys(service)),
        },
        (service) => ({
          ...service,
          ports: ports.of(service.ports),
          externalIPs: addresses.of(service.externalIPs),
          loadBalancerIPs: addresses.of(service.loadBalancerIPs),
        }),
      ),
      Endpoints: new IndexedObjects({}),
      EndpointSlice: new IndexedObjects({ service: ({ namespace, service }) => [`${namespace}/${service}`] }),
      IPAddress: new IndexedObjects({
        service: ({ service }) => (service === undefined ? [] : [formatName(service)]),
      }),
      VirtualService: new IndexedObjects({
        ...hostIndexes(({ namespace, hosts }: VirtualService) => hosts.map(hostIn(namespace))),
        destination: (virtualService) => destinationsOf(virtualService).map(hostIn(virtualService.namespace)),
        delegate: (virtualService) => delegatesOf(virtualService).map(formatName),
      }),
      DestinationRule: new IndexedObjects(
        hostIndexes(({ namespace, host }: DestinationRule) => [hostIn(namespace)(host)]),
      ),
      ServiceEntry: new IndexedObjects({
        ...hostIndexes(({ hosts }: ServiceEntry) => hosts.map((host) => host.toLowerCase())),
        // Few entries have any, so that these are looked through one by one.
        ranges: ({ ranges }) => (ranges.length === 0 ? [] : [withRanges]),
      }),
    }
  }

  put<K extends Kind>({ kind, object }: { kind: K; object: Objects[K] }): void {
    const { before, after } = this.#objects[kind].put(object)
    this.#replaceAddresses(kind, before, after)
  }

  delete(kind: Kind, name: NamespacedName): void {
    this.#replaceAddresses(kind, this.#objects[kind].delete(name), undefined)
  }

  #replaceAddresses<K extends Kind>(kind: K, before: Objects[K] | undefined, after: Objects[K] | undefined): void {
    const [was, is] = [before, after].map((object) => {
      const known = object === undefined ? undefined : ({ kind, object } as KnownObject)
      return known !== undefined && isAddressHolder(known) ? known : undefined
    })
    this.#addresses.replace(was, is)
    if ([was, is].some((holder) => holder?.kind === 'ServiceEntry' && holder.object.ranges.length > 0))
      this.#covered = undefined
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

  *virtualHostCandidates(namespace: string, port: number) {
    const key = portKey(namespace, port)
    yield* this.#objects.Service.under('portWithAddress', key)
    yield* this.#objects.Service.under('portWithoutAddress', key)
  }

  serviceEntries(host: string) {
    const entries = this.#objects.ServiceEntry
    if (!isWildcard(host)) return this.#under(entries, host)
    return [...entries.all()].filter((entry) =>
      entry.hosts.some((listed) => matchesEitherWay(host, listed.toLowerCase())),
    )
  }

  /** The objects that list a host, or a wildcard over it. */
  #under<T extends NamespacedName>(objects: Pick<IndexedObjects<T, HostIndex>, 'under'>, host: string): T[] {
    const listed = withWildcards(host)
    return [...new Set(listed.flatMap((one) => objects.under(isWildcard(one) ? 'wildcard' : 'host', one)))]
  }

  virtualService(name: NamespacedName) {
    return this.#objects.VirtualService.get(name)
  }

  virtualServicesWithDelegate(name: NamespacedName) {
    return this.#objects.VirtualService.under('delegate', formatName(name))
  }

  virtualServices(host: string) {
    return this.#under(this.#objects.VirtualService, host)
  }

  virtualServicesTo(host: string) {
    return this.#objects.VirtualService.under('destination', host)
  }

  destinationRules(host: string) {
    return this.#under(this.#objects.DestinationRule, host)
  }

  endpoints(service: NamespacedName) {
    return this.#objects.Endpoints.get(service)
  }

  endpointSlices(service: NamespacedName) {
    return this.#objects.EndpointSlice.under('service', formatName(service))
  }

  claim(address: string): Holder | undefined {
    const claim = this.#addresses.holders(address).find(({ kind }) => kind === 'IPAddress')
    return claim === undefined ? undefined : holderOf(claim)
  }

  /** Every address that somebody has, and who. */
  heldAddresses() {
    return this.#addresses.entries()
  }

  claimsOf(service: NamespacedName): readonly string[] {
    return this.#objects.IPAddress.under('service', formatName(service)).map(({ name }) => name)
  }

  /** The ranges of ServiceEntries that hold all from `first` to `last`. */
  *#ranges(family: 4 | 6, first: bigint, last: bigint): Generator<{ entry: ServiceEntry; range: AddressRange }> {
    this.#covered ??= mergeRanges(
      this.#objects.ServiceEntry.under('ranges', withRanges).flatMap(({ ranges }) => ranges),
    )
    if (rangeAround(this.#covered, { family, value: first }) === undefined) return
    for (const entry of this.#objects.ServiceEntry.under('ranges', withRanges)) {
      const range = rangeAround(entry.ranges, { family, value: first })
      if (range !== undefined && last <= range.last) yield { entry, range }
    }
  }

  holders(address: string): readonly Holder[] {
    const holders = this.#addresses.holders(address).map(holderOf)
    const parsed = parseAddress(address)
    if (parsed === undefined) return holders
    const around = this.#ranges(parsed.family, parsed.value, parsed.value)
    return [...holders, ...around.map(({ entry, range }) => entryHolder(entry, range))]
  }

  heldWithin(block: Block): Held {
    const last = block.first + (1n << BigInt(block.bits)) - 1n
    return {
      addresses: this.#addresses.heldWithin(block),
      ranges: [...this.#ranges(block.family, block.first, last)].map(({ range }) => range),
    }
  }
}

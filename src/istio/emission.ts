import type { NamespacedName } from '../api/metadata.ts'
import type { Service } from '../api/service.ts'
import type { ServiceEntry } from '../api/service-entry.ts'
import type { Destination, HttpMatch, HttpRoute, VirtualService } from '../api/virtual-service.ts'
import type { ClusterView } from '../view/view.ts'
import {
  intendedService,
  isClusterLocal,
  isForeign,
  isIPAddress,
  isWildcard,
  type Mesh,
  parseServiceHost,
  resolveShortName,
  serviceHost,
} from './hosts.ts'
import { type PortClass, portClass, protocolClass } from './protocol.ts'

/**
 * Istio does not judge a VirtualService: it emits routes to each sidecar, per host, listener port and protocol, and what is not
 * emitted is silently gone. This is that table, as far as the sidecars' HTTP routes go; every rule of kind *broken* reads it.
 * Istio 1.31 pilot/pkg/networking/core/route/route.go, BuildSidecarVirtualHostWrapper and TranslateRoute.
 */
export type Emission = {
  /** Whether sidecars see the VirtualService at all. */
  onMesh: boolean
  /** Gateways that it lists beside the mesh: what is emitted for them is their business. */
  otherGateways: readonly string[]
  hosts: readonly HostEmission[]
  /** What the hosts resolve to, each once however often it is named. */
  targets: readonly MeshHost[]
  /** The ports of the hosts that carry HTTP routes. */
  httpPorts: readonly number[]
  routes: readonly RouteEmission[]
  destinations: readonly DestinationEmission[]
}

/** A host that Istio's service registry has: that of a Service or of a ServiceEntry. */
export type MeshHost = {
  host: string
  /** Undefined where it comes from a ServiceEntry. */
  service: Service | undefined
  ports: readonly { number: number; class: PortClass }[]
}

/** A name in spec.hosts, and what it stands for. */
export type HostEmission = { field: string; host: string } & (
  | { kind: 'resolved'; targets: readonly MeshHost[] }
  /** Looks like a Service, but Istio does not read it so. `means` is undefined for an IP address. */
  | { kind: 'form'; means: NamespacedName | undefined }
  /** In the cluster's domain, without Service; `service` is undefined where no Service could have that name. */
  | { kind: 'missing'; service: NamespacedName | undefined }
  /** Outside the cluster's domain, without ServiceEntry; or a wildcard that covers nothing. */
  | { kind: 'foreign' }
  /** Not here, but among the hosts that this cluster cannot show. */
  | { kind: 'unknown' }
)

/** One match of an HTTP route (or the route itself, where it has none) and the listener ports that carry it. */
export type RouteEmission = {
  route: HttpRoute
  match: HttpMatch | undefined
  /** In the order of the hosts, each port once. Empty where no sidecar is given it. */
  ports: readonly number[]
  /**
   * Why it is emitted nowhere: no host, no host with that port, no port of a fitting class, for other gateways only, or an earlier
   * one takes every request. `unknown` where a host that this cluster cannot show may carry it.
   */
  dropped: 'host' | 'port' | 'class' | 'gateway' | 'shadowed' | 'unknown' | undefined
}

/** A destination of an emitted route, and whether the cluster that it names exists. */
export type DestinationEmission = {
  destination: Destination
  /** The host after expansion of a short name. */
  host: string
} & (
  | { kind: 'exists' }
  | { kind: 'unknown' }
  | { kind: 'form'; means: NamespacedName }
  | { kind: 'missing' }
  /**
   * The host exists, the port is not on it. `port` was left out where it is `implied` by the listener; then on some of the listeners
   * the destination may be `reachable`. `ports` are those that it has.
   */
  | { kind: 'port'; ports: readonly number[]; port: number; implied: boolean; reachable: boolean }
)

export const isOnMesh = ({ gateways }: VirtualService): boolean => gateways.length === 0 || gateways.includes('mesh')

const entryHost = (host: string, { ports }: ServiceEntry): MeshHost => ({
  host,
  service: undefined,
  ports: ports.map((port) => ({ number: port.number, class: protocolClass(port.protocol) })),
})

const meshHosts = (host: string, view: ClusterView, mesh: Mesh): MeshHost[] => {
  const name = parseServiceHost(host, mesh.clusterDomain)
  const exact = name === undefined ? undefined : view.service(name)
  const services = isWildcard(host) ? view.servicesUnder(host) : exact === undefined ? [] : [exact]
  return [
    ...services.map((service) => ({
      host: serviceHost(service, mesh.clusterDomain),
      service,
      ports: service.ports.map((port) => ({ number: port.port, class: portClass(port) })),
    })),
    ...view.serviceEntries(host).map((entry) => entryHost(host, entry)),
  ]
}

/** Whether a dotted name of two labels, such as `orders.shop`, means a Service: only if its second label is a namespace. */
const meansService = (host: string, means: NamespacedName, owner: NamespacedName, view: ClusterView): boolean =>
  host.toLowerCase().replace(/\.$/, '').split('.').length !== 2 ||
  means.namespace === owner.namespace ||
  view.namespace(means.namespace) !== undefined ||
  view.service(means) !== undefined

const emitHost = (
  host: string,
  field: string,
  virtualService: VirtualService,
  targetsOf: (resolved: string) => readonly MeshHost[],
  view: ClusterView,
  mesh: Mesh,
): HostEmission => {
  // Hosts are compared in lower case; route.go, separateVSHostsAndServices.
  const resolved = resolveShortName(host, virtualService.namespace, mesh.clusterDomain).toLowerCase()
  const targets = targetsOf(resolved)
  if (targets.length > 0) return { field, host, kind: 'resolved', targets }
  if (isForeign(resolved, mesh)) return { field, host, kind: 'unknown' }
  if (isIPAddress(host)) return { field, host, kind: 'form', means: undefined }
  if (isWildcard(host)) return { field, host, kind: 'foreign' }
  if (isClusterLocal(resolved, mesh.clusterDomain)) {
    return { field, host, kind: 'missing', service: parseServiceHost(resolved, mesh.clusterDomain) }
  }
  const means = intendedService(host, virtualService.namespace, mesh.clusterDomain)
  return means !== undefined && meansService(host, means, virtualService, view)
    ? { field, host, kind: 'form', means }
    : { field, host, kind: 'foreign' }
}

const carriesHttp = (portClass: PortClass): boolean => portClass === 'HTTP' || portClass === 'undetermined'

/** The listener ports that the hosts have, and whether each carries HTTP routes. */
type Listeners = ReadonlyMap<number, boolean>

const listenersOf = (targets: readonly MeshHost[]): Listeners => {
  const listeners = new Map<number, boolean>()
  for (const { ports } of targets) {
    for (const port of ports) {
      listeners.set(port.number, listeners.get(port.number) === true || carriesHttp(port.class))
    }
  }
  return listeners
}

/** The ports among these listeners that carry HTTP routes. */
const httpPorts = (listeners: Listeners): number[] =>
  [...listeners].flatMap(([number, isHttp]) => (isHttp ? [number] : []))

/** The ports on which no route yet takes every request. */
class OpenPorts {
  /** Those that carry HTTP routes, in their order: one array that matches share for as long as none is closed. */
  http: readonly number[]
  readonly hadAny: boolean
  readonly #closed = new Set<number>()

  constructor(http: readonly number[]) {
    this.http = http
    this.hadAny = http.length > 0
  }

  has(port: number): boolean {
    return !this.#closed.has(port)
  }

  close(ports: readonly number[]): void {
    if (ports.length === 0) return
    for (const port of ports) this.#closed.add(port)
    this.http = this.http.filter((port) => this.has(port))
  }
}

/**
 * What becomes of a match. Without a host there are no `listeners`; `unseen` says that there are hosts of which nobody here knows
 * the listeners.
 */
const emitMatch = (
  route: HttpRoute,
  match: HttpMatch | undefined,
  listeners: Listeners | undefined,
  open: OpenPorts,
  unseen: boolean,
): RouteEmission => {
  const dropped = (reason: RouteEmission['dropped']): RouteEmission => ({ route, match, ports: [], dropped: reason })
  if (match !== undefined && match.gateways.length > 0 && !match.gateways.includes('mesh')) return dropped('gateway')
  if (listeners === undefined) return dropped(unseen ? 'unknown' : 'host')
  const wanted = match?.port
  // Once anything HTTP listens on port 80, sidecars are given every VirtualService there, also for hosts without that port.
  const isCarried = wanted === undefined ? open.hadAny : (listeners.get(wanted) ?? (wanted === 80 ? true : undefined))
  if (isCarried === undefined) return dropped(unseen ? 'unknown' : 'port')
  if (!isCarried) return dropped(unseen ? 'unknown' : 'class')
  const ports = wanted === undefined ? open.http : open.has(wanted) ? [wanted] : []
  return ports.length === 0 ? dropped('shadowed') : { route, match, ports, dropped: undefined }
}

/** What a destination names: by its very text, a wildcard included, which only a ServiceEntry can have. */
const destinationHosts = (host: string, view: ClusterView, mesh: Mesh): MeshHost[] =>
  isWildcard(host)
    ? view
        .serviceEntries(host)
        .filter((entry) => entry.hosts.includes(host))
        .map((entry) => entryHost(host, entry))
    : meshHosts(host, view, mesh)

/** The clusters of a host by their ports; `alias` stands for those of another host, and undefined for none at all. */
type Clusters =
  | {
      ports: readonly number[]
      /** Those of these ports that it does not have. */
      absentOf(ports: readonly number[]): readonly number[]
    }
  | 'alias'
  | undefined

const clustersOf = (host: string, view: ClusterView, mesh: Mesh): Clusters => {
  const targets = destinationHosts(host, view, mesh)
  if (targets.length === 0) return undefined
  // An ExternalName Service stands for another host, whose ports count.
  if (targets.some(({ service }) => service?.type === 'ExternalName')) return 'alias'
  // There are no clusters for UDP ports: cluster.go, buildOutboundClusters.
  const ports = targets.flatMap((target) => target.ports).flatMap((port) => (port.class === 'UDP' ? [] : [port.number]))
  const numbers = new Set(ports)
  // Many destinations may be asked about the same listeners.
  const known = new WeakMap<readonly number[], readonly number[]>()
  const absentOf = (wanted: readonly number[]) => {
    const absent = known.get(wanted) ?? wanted.filter((number) => !numbers.has(number))
    known.set(wanted, absent)
    return absent
  }
  return { ports, absentOf }
}

const emitDestination = (
  destination: Destination,
  listenerPorts: readonly number[],
  virtualService: VirtualService,
  clustersOfHost: (host: string) => Clusters,
  view: ClusterView,
  mesh: Mesh,
): DestinationEmission => {
  const host = resolveShortName(destination.host, virtualService.namespace, mesh.clusterDomain)
  const clusters = clustersOfHost(host)
  if (clusters === 'alias') return { destination, host, kind: 'exists' }
  if (clusters === undefined) {
    if (isForeign(host.toLowerCase(), mesh)) return { destination, host, kind: 'unknown' }
    const means = intendedService(destination.host, virtualService.namespace, mesh.clusterDomain)
    const misspelt =
      means !== undefined &&
      host !== serviceHost(means, mesh.clusterDomain) &&
      meansService(destination.host, means, virtualService, view)
    return misspelt ? { destination, host, kind: 'form', means } : { destination, host, kind: 'missing' }
  }
  const { ports, absentOf } = clusters
  // A sidecar looks a destination up among the Services that have the listener's port: route.go, GetDestinationCluster.
  const implied = destination.port === undefined
  const wanted = destination.port === undefined ? listenerPorts : [destination.port]
  const absent = absentOf(wanted)
  const [port] = absent
  if (port === undefined) return { destination, host, kind: 'exists' }
  return { destination, host, kind: 'port', ports, port, implied, reachable: absent.length < wanted.length }
}

/** Remembers the answers of a function. */
const memoized = <T>(answer: (key: string) => T): ((key: string) => T) => {
  const answers = new Map<string, { value: T }>()
  return (key) => {
    const known = answers.get(key) ?? { value: answer(key) }
    answers.set(key, known)
    return known.value
  }
}

/** Istio drops a destination of weight 0 beside others when its cluster is missing; the rest of the route works. */
const isIdle = (destination: Destination, route: HttpRoute): boolean =>
  route.destinations.length > 1 && !destination.isMirror && (destination.weight ?? 0) === 0

/** The emission of a VirtualService. Delegates (no hosts) and what is off the mesh have no hosts and routes of their own here. */
export const emit = (virtualService: VirtualService, view: ClusterView, mesh: Mesh): Emission => {
  const onMesh = isOnMesh(virtualService)
  const otherGateways = virtualService.gateways.filter((gateway) => gateway !== 'mesh')
  if (!onMesh || virtualService.hosts.length === 0) {
    return { onMesh, otherGateways, hosts: [], targets: [], httpPorts: [], routes: [], destinations: [] }
  }
  const targetsOf = memoized((resolved) => meshHosts(resolved, view, mesh))
  const hosts = virtualService.hosts.map((host, index) =>
    emitHost(host, `spec.hosts[${index}]`, virtualService, targetsOf, view, mesh),
  )
  const targets = [...new Set(hosts.flatMap((host) => (host.kind === 'resolved' ? [host.targets] : [])))].flat()
  const listeners = targets.length === 0 ? undefined : listenersOf(targets)
  const http = listeners === undefined ? [] : httpPorts(listeners)
  const unseen = hosts.some(({ kind }) => kind === 'unknown')
  const open = new OpenPorts(http)
  const clustersOfHost = memoized((host) => clustersOf(host, view, mesh))
  const routes: RouteEmission[] = []
  const destinations: DestinationEmission[] = []
  for (const route of virtualService.http) {
    const matches = (route.matches.length === 0 ? [undefined] : route.matches).map((match) => {
      const emission = emitMatch(route, match, listeners, open, unseen)
      // Istio stops at the first match that takes every request: route.go, BuildHTTPRoutesForVirtualService.
      if (match?.isCatchAll ?? true) open.close(emission.ports)
      return emission
    })
    for (const emission of matches) routes.push(emission)
    const lists = [...new Set(matches.map((emission) => emission.ports))]
    const [only = [], ...others] = lists
    const ports = others.length === 0 ? only : [...new Set(lists.flat())]
    // What no sidecar is given may still be what a gateway is given. Without other gateways it is broken anyway, and its
    // destinations are judged as well, so that all that is wrong is said at once: on the ports that its hosts have.
    const broken = matches.some(({ dropped }) => dropped === 'host' || dropped === 'port' || dropped === 'class')
    const unknown = matches.some(({ dropped }) => dropped === 'unknown')
    if (ports.length === 0 && (otherGateways.length > 0 || !(broken || unknown))) continue
    for (const destination of [...route.destinations, ...route.mirrors]) {
      if (isIdle(destination, route)) continue
      const heard = ports.length === 0 && !unknown ? http : ports
      destinations.push(emitDestination(destination, heard, virtualService, clustersOfHost, view, mesh))
    }
  }
  return { onMesh, otherGateways, hosts, targets, httpPorts: http, routes, destinations }
}

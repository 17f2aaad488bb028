import type { NamespacedName } from '../api/metadata.ts'
import type { Service } from '../api/service.ts'
import type { ServiceEntry } from '../api/service-entry.ts'
import type { Destination, HttpMatch, HttpRoute, VirtualService } from '../api/virtual-service.ts'
import type { ClusterView } from '../view/view.ts'
import {
  intendedService,
  isClusterLocal,
  isIPAddress,
  isWildcard,
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
)

/** One match of an HTTP route (or the route itself, where it has none) and the listener ports that carry it. */
export type RouteEmission = {
  route: HttpRoute
  match: HttpMatch | undefined
  /** In the order of the hosts, each port once. Empty where no sidecar is given it. */
  ports: readonly number[]
  /** Why it is emitted nowhere: no host, no host with that port, no port of a fitting class, or for other gateways only. */
  dropped: 'host' | 'port' | 'class' | 'gateway' | undefined
}

/** A destination of an emitted route, and whether the cluster that it names exists. */
export type DestinationEmission = {
  destination: Destination
  /** The host after expansion of a short name. */
  host: string
} & (
  | { kind: 'exists' }
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

const meshHosts = (host: string, view: ClusterView, clusterDomain: string): MeshHost[] => {
  const name = parseServiceHost(host, clusterDomain)
  const exact = name === undefined ? undefined : view.service(name)
  const services = isWildcard(host) ? view.servicesUnder(host) : exact === undefined ? [] : [exact]
  return [
    ...services.map((service) => ({
      host: serviceHost(service, clusterDomain),
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
  view: ClusterView,
  clusterDomain: string,
): HostEmission => {
  // Hosts are compared in lower case; route.go, separateVSHostsAndServices.
  const resolved = resolveShortName(host, virtualService.namespace, clusterDomain).toLowerCase()
  const targets = meshHosts(resolved, view, clusterDomain)
  if (targets.length > 0) return { field, host, kind: 'resolved', targets }
  if (isIPAddress(host)) return { field, host, kind: 'form', means: undefined }
  if (isWildcard(host)) return { field, host, kind: 'foreign' }
  if (isClusterLocal(resolved, clusterDomain)) {
    return { field, host, kind: 'missing', service: parseServiceHost(resolved, clusterDomain) }
  }
  const means = intendedService(host, virtualService.namespace, clusterDomain)
  return means !== undefined && meansService(host, means, virtualService, view)
    ? { field, host, kind: 'form', means }
    : { field, host, kind: 'foreign' }
}

const carriesHttp = (portClass: PortClass): boolean => portClass === 'HTTP' || portClass === 'undetermined'

const emitMatch = (route: HttpRoute, match: HttpMatch | undefined, targets: readonly MeshHost[]): RouteEmission => {
  const dropped = (reason: RouteEmission['dropped']): RouteEmission => ({ route, match, ports: [], dropped: reason })
  if (match !== undefined && match.gateways.length > 0 && !match.gateways.includes('mesh')) return dropped('gateway')
  const all = targets.flatMap((target) => target.ports)
  if (targets.length === 0) return dropped('host')
  const listened = all.filter((port) => match?.port === undefined || match.port === port.number)
  // Once anything HTTP listens on port 80, sidecars are given every VirtualService there, also for hosts without that port.
  if (listened.length === 0 && match?.port === 80) return { route, match, ports: [80], dropped: undefined }
  if (listened.length === 0) return dropped('port')
  const carried = listened.filter((port) => carriesHttp(port.class))
  if (carried.length === 0) return dropped('class')
  return { route, match, ports: [...new Set(carried.map((port) => port.number))], dropped: undefined }
}

/** What a destination names: by its very text, a wildcard included, which only a ServiceEntry can have. */
const destinationHosts = (host: string, view: ClusterView, clusterDomain: string): MeshHost[] =>
  isWildcard(host)
    ? view
        .serviceEntries(host)
        .filter((entry) => entry.hosts.includes(host))
        .map((entry) => entryHost(host, entry))
    : meshHosts(host, view, clusterDomain)

const emitDestination = (
  destination: Destination,
  listenerPorts: readonly number[],
  virtualService: VirtualService,
  view: ClusterView,
  clusterDomain: string,
): DestinationEmission => {
  const host = resolveShortName(destination.host, virtualService.namespace, clusterDomain)
  const targets = destinationHosts(host, view, clusterDomain)
  if (targets.length === 0) {
    const means = intendedService(destination.host, virtualService.namespace, clusterDomain)
    const misspelt =
      means !== undefined &&
      host !== serviceHost(means, clusterDomain) &&
      meansService(destination.host, means, virtualService, view)
    return misspelt ? { destination, host, kind: 'form', means } : { destination, host, kind: 'missing' }
  }
  // An ExternalName Service stands for another host, whose ports count.
  if (targets.some(({ service }) => service?.type === 'ExternalName')) return { destination, host, kind: 'exists' }
  // There are no clusters for UDP ports: cluster.go, buildOutboundClusters.
  const ports = targets.flatMap((target) => target.ports).flatMap((port) => (port.class === 'UDP' ? [] : [port.number]))
  // A sidecar looks a destination up among the Services that have the listener's port: route.go, GetDestinationCluster.
  const implied = destination.port === undefined
  const wanted = destination.port === undefined ? listenerPorts : [destination.port]
  const absent = wanted.filter((number) => !ports.includes(number))
  const [port] = absent
  if (port === undefined) return { destination, host, kind: 'exists' }
  return { destination, host, kind: 'port', ports, port, implied, reachable: absent.length < wanted.length }
}

/** Istio drops a destination of weight 0 beside others when its cluster is missing; the rest of the route works. */
const isIdle = (destination: Destination, route: HttpRoute): boolean =>
  route.destinations.length > 1 && route.destinations.includes(destination) && (destination.weight ?? 0) === 0

/** The emission of a VirtualService. Delegates (no hosts) and what is off the mesh have no hosts and routes of their own here. */
export const emit = (virtualService: VirtualService, view: ClusterView, clusterDomain: string): Emission => {
  const onMesh = isOnMesh(virtualService)
  const otherGateways = virtualService.gateways.filter((gateway) => gateway !== 'mesh')
  if (!onMesh || virtualService.hosts.length === 0) {
    return { onMesh, otherGateways, hosts: [], routes: [], destinations: [] }
  }
  const hosts = virtualService.hosts.map((host, index) =>
    emitHost(host, `spec.hosts[${index}]`, virtualService, view, clusterDomain),
  )
  const targets = hosts.flatMap((host) => (host.kind === 'resolved' ? host.targets : []))
  const routes = virtualService.http.flatMap((route) =>
    (route.matches.length === 0 ? [undefined] : route.matches).map((match) => emitMatch(route, match, targets)),
  )
  const destinations = virtualService.http.flatMap((route) => {
    const matches = routes.filter((emission) => emission.route === route)
    const ports = [...new Set(matches.flatMap((emission) => emission.ports))]
    // What no sidecar is given may still be what a gateway is given. Without other gateways it is broken anyway, and its
    // destinations are judged as well, so that all that is wrong is said at once.
    const judged =
      ports.length > 0 || (otherGateways.length === 0 && matches.some((match) => match.dropped !== 'gateway'))
    if (!judged) return []
    return [...route.destinations, ...route.mirrors]
      .filter((destination) => !isIdle(destination, route))
      .map((destination) => emitDestination(destination, ports, virtualService, view, clusterDomain))
  })
  return { onMesh, otherGateways, hosts, routes, destinations }
}

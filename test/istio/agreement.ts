/** Our emission table for a client in the form in which Istio's generator gives it, so that the two can be compared. */
import type { VirtualService } from '../../src/api/virtual-service.ts'
import { type Client, isOnMesh } from '../../src/istio/client.ts'
import { Destinations, isIdle } from '../../src/istio/destinations.ts'
import { type Emission, emit, protocolsOf, type RouteEmission } from '../../src/istio/emission.ts'
import type { Mesh } from '../../src/istio/hosts.ts'
import { reservedPorts } from '../../src/istio/ports.ts'
import { aliasOf, isWithoutAddress, type MeshHost, Registry } from '../../src/istio/registry.ts'
import { comesBefore } from '../../src/istio/rivals.ts'
import { isVisible } from '../../src/istio/visibility.ts'
import type { ObjectStore } from '../../src/view/object-store.ts'
import type { Emitted, EmittedChain, EmittedRoute, WeightedCluster } from './oracle.ts'

/** What is served at `http orders.shop.svc.cluster.local:3111`, in order: a line for each route. Hosts without routes have no entry. */
export type Table = ReadonlyMap<string, readonly string[]>

const missing = 'no cluster'

const weighted = (clusters: readonly { name: string; weight: number }[]): string =>
  clusters.map(({ name, weight }) => (clusters.length === 1 ? name : `${name} ${weight}`)).join(', ')

/** Ours: what a VirtualService emits for one port, as lines. */
const linesFor = (
  virtualService: VirtualService,
  emission: Emission,
  protocol: 'http' | 'tcp' | 'tls',
  port: number,
  clusterOf: Destinations,
): string[] => {
  const line = ({ route, match }: RouteEmission): string => {
    const name = [route.name, match?.name].filter(Boolean).join('.')
    const cluster = (destination: (typeof route.destinations)[number]): string => {
      const emitted = clusterOf.emit(destination, protocol, [port])
      return emitted.kind === 'exists'
        ? `outbound|${emitted.ports[0]}|${destination.subset ?? ''}|${emitted.target?.host}`
        : missing
    }
    const destinations = route.destinations.filter((destination) => !isIdle(destination, route))
    const clusters = destinations.map((one) => ({ name: cluster(one), weight: one.weight ?? 0 }))
    const to = route.answers ? 'answers' : `-> ${weighted(route.destinations.length === 1 ? clusters : clusters)}`
    const mirrors = route.answers ? [] : route.mirrors.map(cluster)
    const owner = `${virtualService.namespace}/${virtualService.name}`
    return [owner, ...(protocol === 'http' ? [name] : []), to, ...mirrors.map((one) => `copied to ${one}`)].join(' ')
  }
  return emission.routes.filter(({ route, ports }) => route.protocol === protocol && ports.includes(port)).map(line)
}

/** All hosts that the client may know, by their own spelling. */
const hostsIn = (view: ObjectStore, registry: Registry): MeshHost[] => {
  const entryHosts = view.serviceEntries('*').flatMap(({ hosts }) => hosts)
  return [
    ...new Map(
      [...registry.under('*'), ...entryHosts.flatMap((host) => registry.get(host) ?? [])].map((one) => [one.host, one]),
    ).values(),
  ]
}

export const ourTable = (view: ObjectStore, client: Client, mesh: Mesh): { table: Table; clusters: string[] } => {
  const registry = new Registry(client, view, mesh)
  const hosts = hostsIn(view, registry)
  const virtualServices = ([...view.all('VirtualService')] as VirtualService[])
    .filter((one) => isOnMesh(one) && one.hosts.length > 0 && isVisible(client.namespace, one))
    .sort((a, b) => (comesBefore(a, b, client.namespace) ? -1 : 1))
  const table = new Map<string, string[]>()
  for (const virtualService of virtualServices) {
    const emission = emit(virtualService, client, view, mesh)
    const clusterOf = new Destinations(virtualService, client, registry, view, mesh)
    for (const target of hosts) {
      for (const { number, class: portClass } of target.ports) {
        for (const protocol of protocolsOf[portClass]) {
          if (!isComparable(target, protocol, number, view)) continue
          const isServed = emission.hosts.some(
            (host) =>
              host.kind === 'resolved' &&
              (protocol === 'http' ? host.targets : host.connectionTargets).some(
                ({ host: one }) => one === target.host,
              ),
          )
          const isTaken = emission.taken.some(
            (taken) => taken.host === target.host && taken.protocol === protocol && taken.ports.includes(number),
          )
          if (!isServed || isTaken) continue
          if (portClass === 'HTTP' && reservedPorts.get(number)?.skipsHttp) continue
          const lines = linesFor(virtualService, emission, protocol, number, clusterOf)
          const key = `${protocol} ${target.host}:${number}`
          if (lines.length > 0) table.set(key, [...(table.get(key) ?? []), ...lines])
        }
      }
    }
  }
  const clusters = hosts.flatMap((host) =>
    aliasOf(host) === undefined ? host.clusterPorts.map((number) => `outbound|${number}||${host.host}`) : [],
  )
  return { table, clusters: [...new Set(clusters)].sort() }
}

const mapped = (clusters: readonly WeightedCluster[], known: ReadonlySet<string>): WeightedCluster[] =>
  clusters.map(({ name, weight }) => ({ name: known.has(name) ? name : missing, weight }))

const istioLine = (route: EmittedRoute, known: ReadonlySet<string>): string => {
  const to = route.redirect || route.directResponse ? 'answers' : `-> ${weighted(mapped(route.clusters, known))}`
  const mirrors = route.mirrors.map(({ name }) => `copied to ${known.has(name) ? name : missing}`)
  return [route.config, route.name, to, ...mirrors].join(' ')
}

/** Istio's, for the same hosts and ports as ours. */
export const istioTable = (
  emitted: Emitted,
  view: ObjectStore,
  client: Client,
  mesh: Mesh,
): { table: Table; clusters: string[] } => {
  const registry = new Registry(client, view, mesh)
  const known = new Set(emitted.clusters.map(({ name }) => name))
  const table = new Map<string, string[]>()
  for (const target of hostsIn(view, registry)) {
    for (const { number, class: portClass } of target.ports) {
      for (const protocol of protocolsOf[portClass]) {
        if (!isComparable(target, protocol, number, view)) continue
        const lines =
          protocol === 'http'
            ? httpLines(emitted, target, number, portClass === 'HTTP', known)
            : chainLines(emitted, addressOf(target, view), number, known)
        const key = `${protocol} ${target.host}:${number}`
        if (lines.length > 0) table.set(key, lines)
      }
    }
  }
  // What is not exported to the client is there as destination only.
  const hosts = new Set(hostsIn(view, registry).map(({ host }) => host))
  const clusters = emitted.clusters
    .map(({ name }) => name)
    .filter((name) => {
      const [direction, , subset, host = ''] = name.split('|')
      return direction === 'outbound' && subset === '' && hosts.has(host)
    })
  return { table, clusters: [...new Set(clusters)].sort() }
}

const httpLines = (
  { routes, listeners }: Emitted,
  { host }: MeshHost,
  port: number,
  isShared: boolean,
  known: ReadonlySet<string>,
): string[] => {
  const name = isShared ? String(port) : `${host}:${port}`
  const isHeard = listeners.some(({ chains, default: last }) =>
    [...chains, ...(last ? [last] : [])].some(({ rds }) => rds === name),
  )
  if (!isHeard) return []
  const virtualHost = routes[name]?.find((one) => one.name === `${host.toLowerCase()}:${port}`)
  return virtualHost?.routes.filter(({ config }) => config !== '').map((route) => istioLine(route, known)) ?? []
}

/** The address of a listener of its own; undefined where there is none, or one that several hosts share. */
const addressOf = ({ host, service }: MeshHost, view: ObjectStore): string | undefined => {
  if (service !== undefined) return isWithoutAddress({ service }) ? undefined : service.clusterIP
  const addresses = view
    .serviceEntries(host.toLowerCase())
    .flatMap((entry) => (entry.hosts.includes(host) ? entry.addresses : []))
  return addresses.length === 1 ? addresses[0] : undefined
}

/**
 * What is compared. On purpose we say nothing of connections to hosts without an address of their own: their listeners are those of Pods,
 * of which a case has none, or shared. An ExternalName Service has no listeners.
 */
const isComparable = (target: MeshHost, protocol: string, port: number, view: ObjectStore): boolean =>
  aliasOf(target) === undefined &&
  (protocol === 'http' ? !isServerFirst(port, view) : addressOf(target, view) !== undefined)

/**
 * Whether a ServiceEntry without address has the port for a protocol in which servers speak first: of its listener and that for HTTP,
 * both on 0.0.0.0, Istio drops one (pilot/pkg/networking/core/listener.go, isConflictWithWellKnownPort). We say nothing of it.
 */
const isServerFirst = (port: number, view: ObjectStore): boolean =>
  view
    .serviceEntries('*')
    .some(
      ({ addresses, ports }) =>
        addresses.length === 0 && ports.some((one) => one.number === port && /^(mongo|mysql)$/i.test(one.protocol)),
    )

const chainLines = (
  { listeners }: Emitted,
  address: string | undefined,
  port: number,
  known: ReadonlySet<string>,
): string[] => {
  const chains = listeners
    .filter((listener) => listener.address === address && listener.port === port)
    .flatMap((listener): EmittedChain[] => [...listener.chains, ...(listener.default ? [listener.default] : [])])
  return chains
    .filter(({ tcp, config }) => tcp !== undefined && config)
    .map(({ tcp = [], config }) => `${config} -> ${weighted(mapped(tcp, known))}`)
}

import type { NamespacedName } from '../api/metadata.ts'
import type { Match, Protocol, Route, VirtualService } from '../api/virtual-service.ts'
import type { ClusterView } from '../view/view.ts'
import { type Client, isForSomePods, isOnMesh, notGiven } from './client.ts'
import type { Delegation } from './delegates.ts'
import { type DestinationEmission, Destinations, isIdle, meansService } from './destinations.ts'
import {
  intendedService,
  isClusterLocal,
  isForeign,
  isIPAddress,
  isWildcard,
  type Mesh,
  matchesEitherWay,
  parseServiceHost,
  resolveShortName,
} from './hosts.ts'
import { isLeftOut } from './ports.ts'
import type { PortClass } from './protocol.ts'
import { type MeshHost, Registry } from './registry.ts'
import { Rivals, routesOf } from './rivals.ts'

/**
 * Istio does not judge a VirtualService: it emits routes to each sidecar, per host, listener port and protocol, and what is not
 * emitted is silently gone. This is that table for the sidecars of one client; every rule of kind *broken* reads it.
 * Istio 1.31 pilot/pkg/networking/core/route/route.go, BuildSidecarVirtualHostWrapper and TranslateRoute, for http;
 * pilot/pkg/networking/core/tls.go, buildSidecarOutboundTCPFilterChainOpts and its twin for TLS, for the others.
 */
export type Emission = {
  client: Client
  /** Whether sidecars see the VirtualService at all. */
  onMesh: boolean
  /** Gateways that it lists beside the mesh: what is emitted for them is their business. */
  otherGateways: readonly string[]
  hosts: readonly HostEmission[]
  /** What the hosts resolve to, each once however often it is named. */
  targets: readonly MeshHost[]
  /** The ports of the targets that carry each protocol, in the order of the hosts. */
  ports: Readonly<Record<Protocol, readonly number[]>>
  /** Hosts and ports that another VirtualService serves first. */
  taken: readonly Taken[]
  routes: readonly RouteEmission[]
  destinations: readonly DestinationEmission[]
  delegations: readonly Delegation[]
  /** The namespaces whose clients may be given something else. */
  namespaces: ReadonlySet<string>
}

/** What a host stands for. */
type Resolution =
  | {
      kind: 'resolved'
      /** What http routes are emitted for, */
      targets: readonly MeshHost[]
      /** and what tcp and tls routes are. */
      connectionTargets: readonly MeshHost[]
    }
  /** Looks like a Service, but Istio does not read it so. `means` is undefined for an IP address. */
  | { kind: 'form'; means: NamespacedName | undefined }
  /** In the cluster's domain, without Service; `service` is undefined where no Service could have that name. */
  | { kind: 'missing'; service: NamespacedName | undefined }
  /** There, but not exported to the client's namespace. */
  | { kind: 'hidden' }
  /** Outside the cluster's domain, without ServiceEntry; or a wildcard that covers nothing. */
  | { kind: 'foreign' }
  /** Not here, but among the hosts that this cluster cannot show. */
  | { kind: 'unknown' }

/** A name in spec.hosts, and what it stands for. */
export type HostEmission = { field: string; host: string } & Resolution

/** What another VirtualService took of one host. */
export type Taken = { host: string; protocol: Protocol; ports: readonly number[]; by: NamespacedName }

/** One match of a route (or the route itself, where it has none) and the listener ports that carry it. */
export type RouteEmission = {
  route: Route
  match: Match | undefined
  /** In the order of the hosts, each port once. Empty where the client is not given it. */
  ports: readonly number[]
  /**
   * Why it is emitted nowhere: no host, no host with that port, no port of a fitting class, for other gateways or other clients only,
   * on ports that another VirtualService took, or an earlier route takes all. `unknown` where a host that this cluster cannot show may
   * carry it, `reserved` where only a port would that Istio leaves out.
   */
  dropped: Dropped | undefined
}

type Dropped = 'host' | 'port' | 'class' | 'gateway' | 'source' | 'taken' | 'shadowed' | 'reserved' | 'unknown'

const brokenReasons: ReadonlySet<Dropped | undefined> = new Set<Dropped>(['host', 'port', 'class', 'reserved'])

/** Whether it is emitted nowhere for a reason that nobody can mean, unless it is meant for another gateway. */
export const isBroken = ({ dropped }: RouteEmission): boolean => brokenReasons.has(dropped)

/** The protocols of routes that a port carries. */
export const protocolsOf: Readonly<Record<PortClass, readonly Protocol[]>> = {
  HTTP: ['http'],
  undetermined: ['http', 'tcp'],
  TCP: ['tcp'],
  TLS: ['tls'],
  UDP: [],
}

const resolveHost = (
  host: string,
  virtualService: VirtualService,
  hasConnections: boolean,
  registry: Registry,
  view: ClusterView,
  mesh: Mesh,
): Resolution => {
  const written = resolveShortName(host, virtualService.namespace, mesh.clusterDomain)
  // Hosts of http routes are compared in lower case (route.go, separateVSHostsAndServices), those of others as they are (tls.go).
  const resolved = written.toLowerCase()
  const one = isWildcard(resolved) ? undefined : registry.getIgnoringCase(resolved)
  const targets = isWildcard(resolved) ? registry.under(resolved) : one === undefined ? [] : [one]
  const connectionTargets = hasConnections
    ? [...targets, ...registry.over(resolved)].filter((target) => matchesEitherWay(written, target.host))
    : []
  if (targets.length > 0 || connectionTargets.length > 0) return { kind: 'resolved', targets, connectionTargets }
  if (isForeign(resolved, mesh)) return { kind: 'unknown' }
  if (isIPAddress(host)) return { kind: 'form', means: undefined }
  if (isWildcard(host)) return { kind: 'foreign' }
  if (registry.hides(resolved)) return { kind: 'hidden' }
  if (isClusterLocal(resolved, mesh.clusterDomain)) {
    return { kind: 'missing', service: parseServiceHost(resolved, mesh.clusterDomain) }
  }
  const means = intendedService(host, virtualService.namespace, mesh.clusterDomain)
  return means !== undefined && meansService(host, means, virtualService, view)
    ? { kind: 'form', means }
    : { kind: 'foreign' }
}

/** What is known of a port number, over all hosts that have it. */
type Listener = { carries: Set<Protocol>; taken: Set<Protocol>; reserved: boolean; isUdp: boolean }

/** How many tls matches are noted, each once a port. */
const maxNotes = 100_000

/** The listeners of the hosts, and what others took of them. */
class Listeners {
  readonly #ports = new Map<number, Listener>()
  readonly #taken = new Map<string, Taken & { ports: number[] }>()
  /** Per port and conditions of tls matches, who serves them: another VirtualService, or this one. */
  readonly #tls = new Map<number, Map<string, { host: string; by: VirtualService } | 'own'>>()
  readonly #protocols: ReadonlySet<Protocol>
  #notes = 0

  constructor(protocols: ReadonlySet<Protocol>) {
    this.#protocols = protocols
  }

  add(target: MeshHost, isForConnections: boolean, rivals: Rivals): void {
    for (const port of target.ports) {
      const { number } = port
      const listener = this.#ports.get(number) ?? { carries: new Set(), taken: new Set(), reserved: false, isUdp: true }
      this.#ports.set(number, listener)
      if (port.class !== 'UDP') listener.isUdp = false
      if (isLeftOut(port)) {
        listener.reserved = true
        continue
      }
      for (const protocol of protocolsOf[port.class]) {
        if ((protocol !== 'http') !== isForConnections) continue
        const by = this.#protocols.has(protocol) ? rivals.takerOf(target, protocol, number) : undefined
        if (by === undefined) listener.carries.add(protocol)
        else this.#take(target.host, protocol, number, by)
        if (protocol !== 'tls' || !this.#protocols.has('tls')) continue
        for (const { conditions, by: other } of rivals.tlsConditions(target, number)) {
          this.#note(number, conditions, { host: target.host, by: other })
        }
      }
    }
  }

  #take(host: string, protocol: Protocol, port: number, { namespace, name }: VirtualService): void {
    this.#ports.get(port)?.taken.add(protocol)
    const key = `${protocol} ${host} ${namespace}/${name}`
    const taken = this.#taken.get(key) ?? { host, protocol, ports: [], by: { namespace, name } }
    taken.ports.push(port)
    this.#taken.set(key, taken)
  }

  #note(port: number, conditions: string, by: { host: string; by: VirtualService } | 'own'): void {
    // Thousands of matches on thousands of ports: whether one is there twice is not worth as many notes.
    if (++this.#notes > maxNotes) return
    const served = this.#tls.get(port) ?? new Map()
    this.#tls.set(port, served)
    served.set(conditions, by)
  }

  /** Serves a tls match on a port; tells who did before where its conditions are served already. */
  serve(port: number, conditions: string): 'another' | 'own' | undefined {
    const before = this.#tls.get(port)?.get(conditions)
    if (before === undefined) this.#note(port, conditions, 'own')
    if (before === undefined || before === 'own') return before
    this.#take(before.host, 'tls', port, before.by)
    return 'another'
  }

  get(port: number): Listener | undefined {
    return this.#ports.get(port)
  }

  get taken(): readonly Taken[] {
    return [...this.#taken.values()]
  }

  /** The ports that carry a protocol, in their order. */
  carrying(protocol: Protocol): number[] {
    return [...this.#ports].flatMap(([number, { carries }]) => (carries.has(protocol) ? [number] : []))
  }

  /** Whether any port carries a protocol but for others that took it. */
  isTaken(protocol: Protocol): boolean {
    return [...this.#ports.values()].some(({ taken }) => taken.has(protocol))
  }
}

/** The ports of one protocol on which no route yet takes everything. */
class OpenPorts {
  /** Those that carry it, in their order: one array that matches share for as long as none is closed. */
  ports: readonly number[]
  readonly all: readonly number[]
  readonly #closed = new Set<number>()

  constructor(ports: readonly number[]) {
    this.ports = ports
    this.all = ports
  }

  has(port: number): boolean {
    return !this.#closed.has(port)
  }

  close(ports: readonly number[]): void {
    if (ports.length === 0) return
    for (const port of ports) this.#closed.add(port)
    this.ports = this.ports.filter((port) => this.has(port))
  }
}

/** All that the matches of one VirtualService are put against. */
type Circumstances = {
  client: Client
  /** Undefined without a host. */
  listeners: Listeners | undefined
  open: Readonly<Record<Protocol, OpenPorts>>
  /** Whether there are hosts of which nobody here knows the listeners. */
  unseen: boolean
}

const emitMatch = (
  route: Route,
  match: Match | undefined,
  { client, listeners, open, unseen }: Circumstances,
): RouteEmission => {
  const { protocol } = route
  const dropped = (reason: RouteEmission['dropped']): RouteEmission => ({ route, match, ports: [], dropped: reason })
  const gap = match === undefined ? undefined : notGiven(match, protocol === 'http', client)
  if (gap !== undefined) return dropped(gap)
  if (listeners === undefined) return dropped(unseen ? 'unknown' : 'host')
  const { ports: free, all } = open[protocol]
  const wanted = match?.port
  const listener = wanted === undefined ? undefined : listeners.get(wanted)
  // Once anything HTTP listens on port 80, sidecars are given every VirtualService there, also for hosts without that port.
  const isStray = protocol === 'http' && wanted === 80 && (listener?.isUdp ?? true)
  if (wanted !== undefined && listener === undefined && !isStray) return dropped(unseen ? 'unknown' : 'port')
  const isCarried = isStray || (listener === undefined ? all.length > 0 : listener.carries.has(protocol))
  if (!isCarried) {
    if (listener === undefined ? listeners.isTaken(protocol) : listener.taken.has(protocol)) return dropped('taken')
    if (unseen) return dropped('unknown')
    return dropped(listener?.reserved && protocol === 'http' ? 'reserved' : 'class')
  }
  const left = wanted === undefined ? free : open[protocol].has(wanted) ? [wanted] : []
  if (protocol !== 'tls' || match === undefined) {
    return left.length === 0 ? dropped('shadowed') : { route, match, ports: left, dropped: undefined }
  }
  const before = left.map((port) => listeners.serve(port, match.conditions))
  const ports = left.filter((_, index) => before[index] === undefined)
  if (ports.length > 0) return { route, match, ports, dropped: undefined }
  return dropped(before.includes('another') ? 'taken' : 'shadowed')
}

const noPorts = { http: [], tcp: [], tls: [] }

const none: readonly number[] = []

/** The ports that carry any of these, which mostly is one, or share one list. */
const portsOfAny = ([first, ...more]: readonly RouteEmission[]): readonly number[] => {
  if (first === undefined || more.length === 0) return first?.ports ?? none
  const lists = [...new Set([first, ...more].map(({ ports }) => ports))]
  return lists.length === 1 ? first.ports : [...new Set(lists.flat())]
}

/**
 * The emission of a VirtualService for a client; `delegate` is a delegate of it as it is about to be. Delegates (no hosts) and what is
 * off the mesh have no hosts and routes here.
 */
export const emit = (
  virtualService: VirtualService,
  client: Client,
  view: ClusterView,
  mesh: Mesh,
  delegate?: VirtualService,
): Emission => {
  const onMesh = isOnMesh(virtualService)
  const otherGateways = virtualService.gateways.filter((gateway) => gateway !== 'mesh')
  const nothing = { targets: [], ports: noPorts, taken: [], routes: [], destinations: [], delegations: [] }
  if (!onMesh || virtualService.hosts.length === 0) {
    return { client, onMesh, otherGateways, hosts: [], ...nothing, namespaces: new Set() }
  }
  const registry = new Registry(client, view, mesh)
  const rivals = new Rivals(virtualService, client, view, mesh)
  const { routes: written, delegations } = routesOf(virtualService, view, mesh, delegate)
  const used = new Set(written.map(({ protocol }) => protocol))
  const hasConnections = used.has('tcp') || used.has('tls')
  const known = new Map<string, Resolution>()
  const hosts = virtualService.hosts.map((host, index): HostEmission => {
    // Many hosts may be the same one, and a wildcard takes its time.
    const resolution = known.get(host) ?? resolveHost(host, virtualService, hasConnections, registry, view, mesh)
    known.set(host, resolution)
    return { field: `spec.hosts[${index}]`, host, ...resolution }
  })
  const resolved = [...known.values()].flatMap((host) => (host.kind === 'resolved' ? [host] : []))
  const unique = (all: readonly MeshHost[]): MeshHost[] => [
    ...new Map(all.map((target) => [target.host, target])).values(),
  ]
  const targets = unique(resolved.flatMap((host) => host.targets))
  const connectionTargets = unique(resolved.flatMap((host) => host.connectionTargets))
  const listeners = new Listeners(used)
  for (const target of targets) listeners.add(target, false, rivals)
  for (const target of connectionTargets) listeners.add(target, true, rivals)
  const ports = {
    http: listeners.carrying('http'),
    tcp: listeners.carrying('tcp'),
    tls: listeners.carrying('tls'),
  }
  const circumstances: Circumstances = {
    client,
    listeners: resolved.length === 0 ? undefined : listeners,
    open: { http: new OpenPorts(ports.http), tcp: new OpenPorts(ports.tcp), tls: new OpenPorts(ports.tls) },
    unseen: hosts.some(({ kind }) => kind === 'unknown'),
  }
  const clusters = new Destinations(virtualService, client, registry, view, mesh)
  const routes: RouteEmission[] = []
  const destinations: DestinationEmission[] = []
  for (const route of written) {
    const { protocol } = route
    const isHttp = protocol === 'http'
    // A tls route without match, which the API forbids, is emitted nowhere.
    const matches = (route.matches.length === 0 ? (protocol === 'tls' ? [] : [undefined]) : route.matches).map(
      (match) => {
        const emission = emitMatch(route, match, circumstances)
        const takesAll = match === undefined || (match.isCatchAll && !isForSomePods(match, isHttp, client))
        // Istio stops at the first match that takes every request: route.go, BuildHTTPRoutesForVirtualService.
        if (takesAll) circumstances.open[protocol].close(emission.ports)
        return emission
      },
    )
    for (const emission of matches) routes.push(emission)
    const emitted = portsOfAny(matches)
    // What no sidecar is given may still be what a gateway is given. Without other gateways it is broken anyway, and its
    // destinations are judged as well, so that all that is wrong is said at once: on the ports that its hosts have.
    const broken = matches.some(isBroken)
    const unknown = matches.some(({ dropped }) => dropped === 'unknown')
    if (emitted.length === 0 && (otherGateways.length > 0 || !(broken || unknown))) continue
    for (const destination of [...route.destinations, ...route.mirrors]) {
      if (route.answers || isIdle(destination, route)) continue
      const heard = emitted.length === 0 && !unknown ? ports[protocol] : emitted
      destinations.push(clusters.emit(destination, protocol, heard))
    }
  }
  const sources = written.flatMap(({ matches }) => matches.flatMap(({ sourceNamespace }) => sourceNamespace || []))
  return {
    client,
    onMesh,
    otherGateways,
    hosts,
    targets: unique([...targets, ...connectionTargets]),
    ports,
    taken: listeners.taken,
    routes,
    destinations,
    delegations,
    namespaces: new Set([...registry.namespaces, ...rivals.namespaces, ...clusters.namespaces, ...sources]),
  }
}

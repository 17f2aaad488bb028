import type { NamespacedName } from '../api/metadata.ts'
import type { Destination, Protocol, Route, VirtualService } from '../api/virtual-service.ts'
import type { ClusterView } from '../view/view.ts'
import type { Client } from './client.ts'
import { type Subsets, subsetsOf } from './destination-rules.ts'
import { intendedService, isForeign, type Mesh, resolveShortName, serviceHost } from './hosts.ts'
import { aliasOf, type MeshHost, type Registry } from './registry.ts'
import { namespacesIn } from './visibility.ts'

/**
 * The host exists, the port is not on it. `port` was left out where it is `implied` by the listener; then on some of the listeners
 * the destination may be `reachable`. `ports` are those that it has. Where it is an `alias`, an ExternalName Service, that one does
 * not have the port being listened on, without which it is no alias to an http route.
 */
type AbsentPort = {
  kind: 'port'
  ports: readonly number[]
  port: number
  implied: boolean
  reachable: boolean
  alias: boolean
}

/** A destination of an emitted route, and whether the cluster that it names exists. */
export type DestinationEmission = {
  destination: Destination
  protocol: Protocol
  /** The host after expansion of a short name. */
  host: string
  /** What the cluster is of, an ExternalName Service's other host in its place; undefined where there is none. */
  target: MeshHost | undefined
} & (
  | { kind: 'exists'; ports: readonly number[] }
  | { kind: 'unknown' }
  | { kind: 'form'; means: NamespacedName }
  /** `alias` is what an ExternalName Service stands for, which is missing in its stead. */
  | { kind: 'missing'; alias: string | undefined }
  /** There, but not exported to the client's namespace. */
  | { kind: 'hidden' }
  | AbsentPort
  /** Where it is `reachable`, some Pods have it, by a DestinationRule for their labels. */
  | { kind: 'subset'; subset: string; subsets: readonly string[]; reachable: boolean }
)

/** Whether a dotted name of two labels, such as `orders.shop`, means a Service: only if its second label is a namespace. */
export const meansService = (host: string, means: NamespacedName, owner: NamespacedName, view: ClusterView): boolean =>
  host.replace(/\.$/, '').split('.').length !== 2 ||
  means.namespace === owner.namespace ||
  view.namespace(means.namespace) !== undefined ||
  view.service(means) !== undefined

/** Istio drops a destination of weight 0 beside others when its cluster is missing; the rest of the route works. */
export const isIdle = (destination: Destination, route: Route): boolean =>
  route.destinations.length > 1 && !destination.isMirror && (destination.weight ?? 0) === 0

/** A host as destination: the ports of its clusters. */
type Clusters = {
  /** Of the destination as it is written. */
  named: MeshHost
  /** Of what it stands for; undefined where an alias stands for nothing that the client knows. */
  target: MeshHost | undefined
  alias: string | undefined
  ports: readonly number[]
  /** Those of these ports that it does not have. */
  absentOf(ports: readonly number[]): readonly number[]
}

/** Many destinations may be asked about the same listeners. */
const absentFrom = (ports: ReadonlySet<number>): Clusters['absentOf'] => {
  const known = new WeakMap<readonly number[], readonly number[]>()
  return (wanted) => {
    const absent = known.get(wanted) ?? wanted.filter((number) => !ports.has(number))
    known.set(wanted, absent)
    return absent
  }
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

/** The port of these listeners without which an ExternalName Service is no alias; undefined where it has all, or is none. */
const noAliasOn = (listenerPorts: readonly number[], { named, alias }: Clusters): AbsentPort | undefined => {
  if (alias === undefined) return undefined
  const ports = named.ports.map(({ number }) => number)
  const absent = listenerPorts.filter((number) => !ports.includes(number))
  const [port] = absent
  if (port === undefined) return undefined
  return { kind: 'port', ports, port, implied: true, reachable: absent.length < listenerPorts.length, alias: true }
}

/**
 * The ports of the clusters that a route names. For an http route a sidecar looks the destination up among what has the listener's
 * port; for tcp and tls among all, so that the only port of a Service is taken where none is given.
 */
const wantedPorts = (
  { port }: Destination,
  protocol: Protocol,
  { named }: Clusters,
  listenerPorts: readonly number[],
): readonly number[] => {
  if (port !== undefined) return [port]
  const [only, ...more] = named.ports
  return protocol !== 'http' && only !== undefined && more.length === 0 ? [only.number] : listenerPorts
}

/** The clusters that the routes of one VirtualService name. Istio 1.31 pilot/pkg/networking/core/route/route.go, GetDestinationCluster. */
export class Destinations {
  readonly #owner: VirtualService
  readonly #client: Client
  readonly #registry: Registry
  readonly #view: ClusterView
  readonly #mesh: Mesh
  /** The namespaces that may have other subsets. */
  readonly namespaces = new Set<string>()
  readonly #subsets = new Map<MeshHost, Subsets>()
  readonly #clustersOf: (host: string) => Clusters | undefined

  constructor(owner: VirtualService, client: Client, registry: Registry, view: ClusterView, mesh: Mesh) {
    this.#owner = owner
    this.#client = client
    this.#registry = registry
    this.#view = view
    this.#mesh = mesh
    this.#clustersOf = memoized((host) => this.#findClusters(host))
  }

  #findClusters(host: string): Clusters | undefined {
    const named = this.#registry.getDestination(host)
    if (named === undefined) return undefined
    const alias = aliasOf(named)
    const other = alias === undefined ? named : this.#registry.getDestination(alias)
    // Istio follows one alias, not several.
    const target = other !== undefined && (alias === undefined || aliasOf(other) === undefined) ? other : undefined
    const ports = target?.clusterPorts ?? []
    return { named, target, alias, ports, absentOf: absentFrom(new Set(ports)) }
  }

  /** What becomes of a destination of a route on these listeners. */
  emit(destination: Destination, protocol: Protocol, listenerPorts: readonly number[]): DestinationEmission {
    const host = resolveShortName(destination.host, this.#owner.namespace, this.#mesh.clusterDomain)
    const clusters = this.#clustersOf(host)
    const common = { destination, protocol, host, target: clusters?.target }
    if (clusters === undefined) return { ...common, ...this.#absent(destination, host) }
    const noAlias = protocol === 'http' ? noAliasOn(listenerPorts, clusters) : undefined
    if (noAlias !== undefined) return { ...common, ...noAlias }
    const { target, alias, ports, absentOf } = clusters
    if (target === undefined) return { ...common, kind: 'missing', alias }
    const wanted = wantedPorts(destination, protocol, clusters, listenerPorts)
    const absent = absentOf(wanted)
    const [port] = absent
    if (port !== undefined) {
      const reachable = absent.length < wanted.length
      return { ...common, kind: 'port', ports, port, implied: destination.port === undefined, reachable, alias: false }
    }
    const { subset } = destination
    if (subset === undefined) return { ...common, kind: 'exists', ports: wanted }
    const subsets = this.#subsetsOf(target)
    return subsets.every.has(subset)
      ? { ...common, kind: 'exists', ports: wanted }
      : { ...common, kind: 'subset', subset, subsets: [...subsets.some], reachable: subsets.some.has(subset) }
  }

  #subsetsOf(target: MeshHost): Subsets {
    const known = this.#subsets.get(target)
    if (known !== undefined) return known
    for (const rule of this.#view.destinationRules(target.host)) {
      for (const one of namespacesIn(rule)) this.namespaces.add(one)
    }
    const subsets = subsetsOf(target, this.#client, this.#view, this.#mesh)
    this.#subsets.set(target, subsets)
    return subsets
  }

  /** Why there is no cluster of a host at all. */
  #absent(destination: Destination, host: string) {
    if (isForeign(host.toLowerCase(), this.#mesh)) return { kind: 'unknown' } as const
    if (this.#registry.hides(host)) return { kind: 'hidden' } as const
    const means = intendedService(destination.host, this.#owner.namespace, this.#mesh.clusterDomain)
    const isMisspelt =
      means !== undefined &&
      host !== serviceHost(means, this.#mesh.clusterDomain) &&
      // A name of two labels may as well be a host of the Internet, whose domain has the name of a namespace.
      (destination.host.split('.').length === 2
        ? this.#view.service(means) !== undefined
        : meansService(destination.host, means, this.#owner, this.#view))
    return isMisspelt ? ({ kind: 'form', means } as const) : ({ kind: 'missing', alias: undefined } as const)
  }
}

import { oldestFirst } from '../api/creation-order.ts'
import { sameName } from '../api/metadata.ts'
import type { Protocol, Route, VirtualService } from '../api/virtual-service.ts'
import type { ClusterView } from '../view/view.ts'
import { type Client, isForSomePods, isOnMesh, notGiven } from './client.ts'
import { type Delegation, withDelegates } from './delegates.ts'
import { hostsOf, isWildcard, type Mesh, matchesEitherWay, matchesHost, resolveShortName } from './hosts.ts'
import type { MeshHost } from './registry.ts'
import { isPublic, isVisible, namespacesIn, visibilityFrom } from './visibility.ts'

const ranks = { private: 0, exported: 1, public: 2, hidden: 3 }

/** Whether a client is given one VirtualService before another: Istio 1.31 pilot/pkg/model/virtualservice.go, SelectVirtualServices. */
export const comesBefore = (a: VirtualService, b: VirtualService, client: string): boolean => {
  const order = ranks[visibilityFrom(client, a)] - ranks[visibilityFrom(client, b)]
  return (order || oldestFirst(a, b)) < 0
}

/** The routes of a VirtualService with those of its delegates; `delegate` is one of these as it is about to be. */
export const routesOf = (
  virtualService: VirtualService,
  view: ClusterView,
  mesh: Mesh,
  delegate?: VirtualService,
): { routes: readonly Route[]; delegations: readonly Delegation[] } =>
  withDelegates(
    virtualService,
    (name) => (delegate !== undefined && sameName(name, delegate) ? delegate : view.virtualService(name)),
    (namespace) => (host) => resolveShortName(host, namespace, mesh.clusterDomain),
  )

/** The longest of the wildcards over a host; empty for none. */
const longestOver = (host: string, patterns: readonly string[]): string =>
  patterns.reduce(
    (longest, pattern) =>
      isWildcard(pattern) && matchesHost(pattern, host) && pattern.length > longest.length ? pattern : longest,
    '',
  )

/**
 * The other VirtualServices that a client is given for the same hosts. Istio merges none of them: of each host, port and protocol one
 * is served, and all others wait.
 */
export class Rivals {
  readonly #own: VirtualService
  readonly #ownHosts: readonly string[]
  readonly #client: Client
  readonly #view: ClusterView
  readonly #mesh: Mesh
  readonly #routes = new Map<VirtualService, readonly Route[]>()
  readonly #others = new Map<string, readonly VirtualService[]>()
  /** The namespaces that may be given others, or in another order. */
  readonly namespaces = new Set<string>()

  constructor(own: VirtualService, client: Client, view: ClusterView, mesh: Mesh) {
    this.#own = own
    this.#ownHosts = hostsOf(own, mesh)
    this.#client = client
    this.#view = view
    this.#mesh = mesh
  }

  /**
   * Who takes this port of a host; undefined where it is left to the own VirtualService. Of tls nobody takes a port as a whole:
   * see `tlsConditions`.
   */
  takerOf(target: MeshHost, protocol: Protocol, port: number): VirtualService | undefined {
    const others = this.#over(target.host)
    if (others.length === 0 || protocol === 'tls') return undefined
    return protocol === 'http'
      ? this.#httpTakerOf(target.host.toLowerCase(), others, port)
      : others.find((other) => this.#isFirstAt(target, other) && this.#serves(other, 'tcp', port))
  }

  /** The conditions of tls matches that others have for this port of a host before the own ones, and who has them. */
  tlsConditions(target: MeshHost, port: number): { conditions: string; by: VirtualService }[] {
    return this.#over(target.host)
      .filter((other) => this.#isFirstAt(target, other))
      .flatMap((other) =>
        this.#routesOf(other)
          .flatMap(({ protocol, matches }) => (protocol === 'tls' ? matches : []))
          .filter((match) => (match.port ?? port) === port && notGiven(match, false, this.#client) === undefined)
          .map(({ conditions }) => ({ conditions, by: other })),
      )
  }

  /** All others that list a host or a wildcard over it, as the client is given them. */
  #over(host: string): readonly VirtualService[] {
    const known = this.#others.get(host)
    if (known !== undefined) return known
    const others = this.#view.virtualServices(host.toLowerCase()).filter((other) => {
      if (sameName(other, this.#own) || !isOnMesh(other)) return false
      if (!isPublic(other)) for (const one of namespacesIn(other)) this.namespaces.add(one)
      return isVisible(this.#client.namespace, other)
    })
    others.sort((a, b) => (comesBefore(a, b, this.#client.namespace) ? -1 : 1))
    this.#others.set(host, others)
    return others
  }

  /**
   * Of those that list the very host the first with a route for the port. One that only has a wildcard over it comes after all of
   * these, even on ports that they do not serve, and of several wildcards the longest is taken: pilot/pkg/model/sidecar.go,
   * computeWildcardHostVirtualServiceIndex.
   */
  #httpTakerOf(host: string, others: readonly VirtualService[], port: number): VirtualService | undefined {
    const lists = (hosts: readonly string[]) => hosts.some((one) => one.toLowerCase() === host)
    const exact = others.filter((other) => lists(hostsOf(other, this.#mesh)))
    if (lists(this.#ownHosts)) return exact.find((other) => this.#isFirst(other) && this.#serves(other, 'http', port))
    if (exact[0] !== undefined) return exact[0]
    const own = longestOver(host, this.#ownHosts)
    const before = others
      .map((other) => ({ other, length: longestOver(host, hostsOf(other, this.#mesh)).length }))
      .filter(({ other, length }) => length > own.length || (length === own.length && this.#isFirst(other)))
    return before.sort((a, b) => b.length - a.length)[0]?.other
  }

  #isFirst(other: VirtualService): boolean {
    return comesBefore(other, this.#own, this.#client.namespace)
  }

  /** Whether one comes first for the connections to a host: their hosts are compared as they are written. */
  #isFirstAt({ host }: MeshHost, other: VirtualService): boolean {
    return this.#isFirst(other) && hostsOf(other, this.#mesh).some((one) => matchesEitherWay(one, host))
  }

  #routesOf(other: VirtualService): readonly Route[] {
    const known = this.#routes.get(other) ?? routesOf(other, this.#view, this.#mesh).routes
    this.#routes.set(other, known)
    return known
  }

  /** Whether one has a route of a protocol for a port, for tcp one that leaves nothing for others. */
  #serves(other: VirtualService, wanted: Protocol, port: number): boolean {
    const isHttp = wanted === 'http'
    return this.#routesOf(other).some(
      ({ protocol, matches }) =>
        protocol === wanted &&
        (matches.length === 0 ||
          matches.some((match) => {
            if (match.sourceNamespace !== '') this.namespaces.add(match.sourceNamespace)
            return (
              (match.port ?? port) === port &&
              (isHttp || match.isCatchAll) &&
              notGiven(match, isHttp, this.#client) === undefined &&
              !isForSomePods(match, isHttp, this.#client)
            )
          })),
    )
  }
}

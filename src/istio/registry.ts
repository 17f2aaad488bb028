import type { NamespacedName } from '../api/metadata.ts'
import { isHeadless, type Service } from '../api/service.ts'
import type { ServiceEntry } from '../api/service-entry.ts'
import type { ClusterView } from '../view/view.ts'
import type { Client } from './client.ts'
import { isWildcard, type Mesh, matchesHost, parseServiceHost, serviceHost } from './hosts.ts'
import { isHttp2Protocol, type PortClass, portClass, protocolClass, speaksHttp2 } from './protocol.ts'
import { isPublic, isVisible, visibilityFrom } from './visibility.ts'

export type MeshPort = { number: number; class: PortClass; isHttp2: boolean }

/** A host that Istio's service registry has for a client: that of a Service or of a ServiceEntry. */
export type MeshHost = NamespacedName & {
  /** In its own spelling. */
  host: string
  /** Undefined where it comes from a ServiceEntry. */
  service: Service | undefined
  ports: readonly MeshPort[]
}

const ofService = (service: Service, { clusterDomain }: Mesh): MeshHost => ({
  namespace: service.namespace,
  name: service.name,
  host: serviceHost(service, clusterDomain),
  service,
  ports: service.ports.map((port) => ({ number: port.port, class: portClass(port), isHttp2: speaksHttp2(port) })),
})

const ofEntry = (host: string, { namespace, name, ports }: ServiceEntry): MeshHost => ({
  namespace,
  name,
  host,
  service: undefined,
  ports: ports.map((port) => ({
    number: port.number,
    class: protocolClass(port.protocol),
    isHttp2: isHttp2Protocol(port.protocol),
  })),
})

const oldestFirst = (a: ServiceEntry, b: ServiceEntry): number =>
  compare(a.created || '~', b.created || '~') || compare(a.name, b.name) || compare(a.namespace, b.namespace)

/** As Go's strings.Compare. */
export const compare = (a: string, b: string): number => Number(a > b) - Number(a < b)

/** The hosts that the sidecars of a client know, each looked up once. */
export class Registry {
  readonly #client: Client
  readonly #view: ClusterView
  readonly #mesh: Mesh
  readonly #known = new Map<string, MeshHost | undefined>()
  /** Whether something was asked about that other namespaces see otherwise. */
  differs = false

  constructor(client: Client, view: ClusterView, mesh: Mesh) {
    this.#client = client
    this.#view = view
    this.#mesh = mesh
  }

  /** Of this very spelling, as clusters are named. */
  get(host: string): MeshHost | undefined {
    if (this.#known.has(host)) return this.#known.get(host)
    const found = this.#find(host)
    this.#known.set(host, found)
    return found
  }

  /** Of this spelling in lower case, as http hosts are compared. */
  getIgnoringCase(host: string): MeshHost | undefined {
    const exact = this.get(host)
    if (exact !== undefined) return exact
    const [other] = this.#entries(host).flatMap(({ hosts }) => hosts.filter((one) => one.toLowerCase() === host))
    return other === undefined ? undefined : this.get(other)
  }

  /** All under a wildcard, the wildcard itself included. */
  under(wildcard: string): MeshHost[] {
    const services = this.#view.servicesUnder(wildcard).filter((service) => this.#sees(service))
    const entryHosts = this.#view
      .serviceEntries(wildcard)
      .flatMap(({ hosts }) => hosts.filter((host) => matchesHost(wildcard, host.toLowerCase())))
    const hosts = services.map((service) => ofService(service, this.#mesh))
    const named = new Set(hosts.map(({ host }) => host))
    return [
      ...hosts,
      ...[...new Set(entryHosts)].filter((host) => !named.has(host)).flatMap((host) => this.get(host) ?? []),
    ]
  }

  /** The wildcards over a host, or over another wildcard, that ServiceEntries have. */
  over(host: string): MeshHost[] {
    const wildcards = this.#view
      .serviceEntries(host)
      .flatMap(({ hosts }) => hosts.filter((one) => isWildcard(one) && one !== host && matchesHost(one, host)))
    return [...new Set(wildcards)].flatMap((wildcard) => this.get(wildcard) ?? [])
  }

  /** Whether a host is there that this client may not see. */
  hides(host: string): boolean {
    const name = parseServiceHost(host, this.#mesh.clusterDomain)
    return (
      this.get(host) === undefined &&
      ((name !== undefined && this.#view.service(name) !== undefined) ||
        this.#entries(host).some(({ hosts }) => hosts.includes(host)))
    )
  }

  #sees(exported: NamespacedName & { exportTo: readonly string[] }): boolean {
    if (isPublic(exported)) return true
    this.differs = true
    return isVisible(this.#client.namespace, exported)
  }

  /** The entries that list a host, in any spelling. */
  #entries(host: string): ServiceEntry[] {
    const wanted = host.toLowerCase()
    return this.#view
      .serviceEntries(wanted)
      .filter(({ hosts }) => hosts.some((one) => one === host || one.toLowerCase() === wanted))
  }

  /**
   * A Service comes before any ServiceEntry; of these the oldest, private ones first, and what others of its namespace add to its ports.
   * Istio 1.31 pilot/pkg/model/sidecar.go, appendSidecarServices.
   */
  #find(host: string): MeshHost | undefined {
    const name = parseServiceHost(host, this.#mesh.clusterDomain)
    const service = name === undefined ? undefined : this.#view.service(name)
    if (service !== undefined && this.#sees(service)) return ofService(service, this.#mesh)
    const entries = this.#entries(host).filter((entry) => entry.hosts.includes(host) && this.#sees(entry))
    const isPublicFrom = (entry: ServiceEntry) => visibilityFrom(this.#client.namespace, entry) === 'public'
    const [first, ...others] = entries.sort(
      (a, b) => Number(isPublicFrom(a)) - Number(isPublicFrom(b)) || oldestFirst(a, b),
    )
    if (first === undefined) return undefined
    const merged = ofEntry(host, first)
    const ports = new Map(merged.ports.map((port) => [port.number, port]))
    for (const other of others) {
      if (other.namespace !== first.namespace || other.resolution !== first.resolution) continue
      for (const port of ofEntry(host, other).ports) if (!ports.has(port.number)) ports.set(port.number, port)
    }
    return { ...merged, ports: others.length === 0 ? merged.ports : [...ports.values()] }
  }
}

/** The host that an ExternalName Service stands for; undefined for what is none. */
export const aliasOf = ({ service }: MeshHost): string | undefined => service?.externalName || undefined

/** Whether callers of a host reach its Pods directly, since DNS answers with their addresses. */
export const isWithoutAddress = ({ service }: MeshHost): boolean =>
  service !== undefined && (isHeadless(service) || service.type === 'ExternalName')

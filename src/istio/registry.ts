import { oldestFirst } from '../api/creation-order.ts'
import type { NamespacedName } from '../api/metadata.ts'
import { isHeadless, type Service } from '../api/service.ts'
import type { ServiceEntry } from '../api/service-entry.ts'
import type { ClusterView } from '../view/view.ts'
import type { Client } from './client.ts'
import { isWildcard, type Mesh, matchesHost, parseServiceHost, serviceHost } from './hosts.ts'
import { isLeftOut } from './ports.ts'
import { isHttp2Protocol, type PortClass, portClass, protocolClass, speaksHttp2 } from './protocol.ts'
import { type Exported, isPublic, isVisible, namespacesIn, visibilityFrom } from './visibility.ts'

export type MeshPort = { number: number; class: PortClass; isHttp2: boolean }

/** A host that Istio's service registry has for a client: that of a Service or of a ServiceEntry. */
export type MeshHost = NamespacedName & {
  /** In its own spelling. */
  host: string
  /** Undefined where it comes from a ServiceEntry. */
  service: Service | undefined
  /** Those that there are listeners for. */
  ports: readonly MeshPort[]
  /** Those that there are clusters of. */
  clusterPorts: readonly number[]
}

/** There are no clusters for UDP ports: cluster.go, buildOutboundClusters. */
const withClusters = (ports: readonly MeshPort[]): number[] =>
  ports.flatMap(({ number, class: portClass }) => (portClass === 'UDP' ? [] : [number]))

const ofService = (service: Service, { clusterDomain }: Mesh): MeshHost => {
  const ports = service.ports.map((port) => ({
    number: port.port,
    class: portClass(port),
    isHttp2: speaksHttp2(port),
  }))
  const { namespace, name } = service
  return {
    namespace,
    name,
    host: serviceHost(service, clusterDomain),
    service,
    ports,
    clusterPorts: withClusters(ports),
  }
}

const portsOf = ({ ports }: ServiceEntry): MeshPort[] =>
  ports.map((port) => ({
    number: port.number,
    class: protocolClass(port.protocol),
    isHttp2: isHttp2Protocol(port.protocol),
  }))

const hasListener = (port: MeshPort): boolean => port.class !== 'UDP' && !isLeftOut(port)

/** The ports of all of these, of a number that several have the first that has a listener. */
const merged = (lists: readonly (readonly MeshPort[])[]): MeshPort[] =>
  [...Map.groupBy(lists.flat(), ({ number }) => number).values()].map(
    (same) => same.find(hasListener) ?? (same[0] as MeshPort),
  )

/** Istio 1.31 pilot/pkg/model/sidecar.go, canMergeServices; entries that select workloads by other labels are taken for alike. */
const canMerge = (a: ServiceEntry, b: ServiceEntry): boolean =>
  a.resolution === b.resolution &&
  new Set(a.exportTo).size === new Set(b.exportTo).size &&
  a.exportTo.every((one) => b.exportTo.includes(one))

/** The hosts that the sidecars of a client know, each looked up once. */
export class Registry {
  readonly #client: Client
  readonly #view: ClusterView
  readonly #mesh: Mesh
  readonly #known = new Map<string, MeshHost | undefined>()
  /** The namespaces that may see something otherwise that was asked about. */
  readonly namespaces = new Set<string>()

  constructor(client: Client, view: ClusterView, mesh: Mesh) {
    this.#client = client
    this.#view = view
    this.#mesh = mesh
  }

  /** Of this very spelling, as clusters are named. */
  get(host: string): MeshHost | undefined {
    if (this.#known.has(host)) return this.#known.get(host)
    const found = this.#find(host, (exported) => this.#sees(exported))
    this.#known.set(host, found)
    return found
  }

  /**
   * The same as a destination of a route: then a client knows what is in its own namespace even if it is exported elsewhere only, or
   * nowhere. Istio 1.31 pilot/pkg/model/sidecar.go, collectImportedServices.
   */
  getDestination(host: string): MeshHost | undefined {
    return this.get(host) ?? this.#find(host, ({ namespace }) => namespace === this.#client.namespace)
  }

  /** Of this spelling in lower case, as http hosts are compared. */
  getIgnoringCase(host: string): MeshHost | undefined {
    const exact = this.get(host)
    if (exact !== undefined) return exact
    const [other] = this.#view
      .serviceEntries(host)
      .flatMap(({ hosts }) => hosts.filter((one) => one.toLowerCase() === host))
    return other === undefined ? undefined : this.get(other)
  }

  /** All under a wildcard, the wildcard itself included. */
  under(wildcard: string): MeshHost[] {
    const services = this.#view.servicesUnder(wildcard).map((service) => serviceHost(service, this.#mesh.clusterDomain))
    const entryHosts = this.#view
      .serviceEntries(wildcard)
      .flatMap(({ hosts }) => hosts.filter((host) => matchesHost(wildcard, host.toLowerCase())))
    return [...new Set([...services, ...entryHosts])].flatMap((host) => this.get(host) ?? [])
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
      ((name !== undefined && this.#view.service(name) !== undefined) || this.#entries(host).length > 0)
    )
  }

  #sees(exported: Exported): boolean {
    if (isPublic(exported)) return true
    for (const one of namespacesIn(exported)) this.namespaces.add(one)
    return isVisible(this.#client.namespace, exported)
  }

  /** The entries that list a host in this very spelling. */
  #entries(host: string): ServiceEntry[] {
    return this.#view.serviceEntries(host.toLowerCase()).filter(({ hosts }) => hosts.includes(host))
  }

  /**
   * A host may be that of a Service and of ServiceEntries in any namespace. Those of one namespace count: the client's own, else that of
   * the Service, else that of the entry that is exported to the client by name, else of the oldest. Each of these has its listeners; but
   * clusters are made of the Service alone, or of entries that are alike.
   * Istio 1.31 pilot/pkg/model/sidecar.go, selectServices and appendSidecarServices.
   */
  #find(host: string, knows: (exported: Exported) => boolean): MeshHost | undefined {
    const name = parseServiceHost(host, this.#mesh.clusterDomain)
    const named = name === undefined ? undefined : this.#view.service(name)
    const service = named !== undefined && knows(named) ? named : undefined
    const entries = this.#entries(host).filter(knows)
    if (entries.length === 0) return service === undefined ? undefined : ofService(service, this.#mesh)
    const isPublicFrom = (entry: ServiceEntry) => visibilityFrom(this.#client.namespace, entry) === 'public'
    entries.sort((a, b) => Number(isPublicFrom(a)) - Number(isPublicFrom(b)) || oldestFirst(a, b))
    const known = [...(service === undefined ? [] : [service]), ...entries]
    const { namespace } = known.find((one) => one.namespace === this.#client.namespace) ?? (known[0] as NamespacedName)
    // Each of them would take its own.
    for (const one of known) if (one.namespace !== namespace) this.namespaces.add(one.namespace)
    const ofNamespace = entries.filter((entry) => entry.namespace === namespace)
    const [first] = ofNamespace as [ServiceEntry]
    if (service?.namespace === namespace) {
      const own = ofService(service, this.#mesh)
      return { ...own, ports: merged([own.ports, ...ofNamespace.map(portsOf)]) }
    }
    const alike = ofNamespace.filter((entry) => canMerge(entry, first))
    return {
      namespace,
      name: first.name,
      host,
      service: undefined,
      ports: merged(ofNamespace.map(portsOf)),
      clusterPorts: withClusters(merged(alike.map(portsOf))),
    }
  }
}

/** The host that an ExternalName Service stands for; undefined for what is none. */
export const aliasOf = ({ service }: MeshHost): string | undefined => service?.externalName || undefined

/** Whether callers of a host reach its Pods directly, since DNS answers with their addresses. */
export const isWithoutAddress = ({ service }: Pick<MeshHost, 'service'>): boolean =>
  service !== undefined && (isHeadless(service) || service.type === 'ExternalName')

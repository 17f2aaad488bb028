/** Our emission table and our rules, held against what Istio's own generator makes of the same cluster. */
import { type KnownObject, parseObject } from '../../src/api/kinds.ts'
import type { VirtualService } from '../../src/api/virtual-service.ts'
import { type Client, isOnMesh } from '../../src/istio/client.ts'
import { Destinations, isIdle } from '../../src/istio/destinations.ts'
import { type Emission, emit, protocolsOf, type RouteEmission } from '../../src/istio/emission.ts'
import type { Mesh } from '../../src/istio/hosts.ts'
import { isLeftOut } from '../../src/istio/ports.ts'
import { aliasOf, isWithoutAddress, type MeshHost, Registry } from '../../src/istio/registry.ts'
import { comesBefore } from '../../src/istio/rivals.ts'
import { isVisible } from '../../src/istio/visibility.ts'
import { rules } from '../../src/rules/index.ts'
import { judgeService, judgeVirtualService, type Outcome } from '../../src/rules/judge.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { ObjectStore } from '../../src/view/object-store.ts'
import { circumstancesIn } from '../support/circumstances.ts'
import { clientLabels, otherLabels } from './generator/universe.ts'
import type { Case, Manifest } from './generator.ts'
import type { Emitted, EmittedChain, EmittedRoute, Oracle, WeightedCluster } from './oracle.ts'
import { failuresOf } from './routes-as-written.ts'

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
    const to = route.answers ? 'answers' : `-> ${weighted(clusters)}`
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

const ourTable = (view: ObjectStore, client: Client, mesh: Mesh): { table: Table; clusters: string[] } => {
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
      for (const port of target.ports) {
        const { number, class: portClass } = port
        for (const protocol of protocolsOf[portClass]) {
          if (!isComparable(target, protocol, port, view)) continue
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
          if (isLeftOut(port)) continue
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
const istioTable = (
  emitted: Emitted,
  view: ObjectStore,
  client: Client,
  mesh: Mesh,
): { table: Table; clusters: string[] } => {
  const registry = new Registry(client, view, mesh)
  const known = new Set(emitted.clusters.map(({ name }) => name))
  const table = new Map<string, string[]>()
  for (const target of hostsIn(view, registry)) {
    for (const port of target.ports) {
      const { number, class: portClass } = port
      for (const protocol of protocolsOf[portClass]) {
        if (!isComparable(target, protocol, port, view)) continue
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
const isComparable = (
  target: MeshHost,
  protocol: string,
  { number: port, class: portClass }: MeshHost['ports'][number],
  view: ObjectStore,
): boolean =>
  aliasOf(target) === undefined &&
  (protocol === 'http' && portClass === 'HTTP' ? !isServerFirst(port, view) : addressOf(target, view) !== undefined)

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

/** A case as istiod would have it: routes with names of their own, so that they can be told apart, virtual hosts with their addresses. */
const prepared = (object: Manifest, index: number): Manifest => {
  const copy = structuredClone(object)
  const { kind, spec = {} } = copy
  if (kind === 'VirtualService') {
    for (const [place, route] of ((spec as { http?: Named[] }).http ?? []).entries()) {
      route.name = `r${place}`
      for (const [at, match] of (route.match ?? []).entries()) match.name = `m${at}`
    }
  }
  if (kind === 'Service' && !('selector' in spec) && 'clusterIP' in spec && spec.clusterIP !== 'None') {
    Object.assign(spec, { externalIPs: [`240.240.128.${index + 1}`] })
  }
  return copy
}

type Named = { name?: string; match?: { name?: string }[] }

const diff = (where: string, ours: Table, istios: Table): string[] =>
  [...new Set([...ours.keys(), ...istios.keys()])].flatMap((key) => {
    const [a, b] = [ours, istios].map((table) => (table.get(key) ?? ['nothing']).join('\n    '))
    return a === b ? [] : [`${where}, ${key}\n  ours:\n    ${a}\n  Istio's:\n    ${b}`]
  })

/** Those of the Pods that ask, in each namespace: none, and all that a case may ask for. */
const podLabels: readonly Record<string, string>[] = [{}, clientLabels, otherLabels]

/** Rules of which Istio's generator can tell nothing: DNS is none of its business. */
const beyondIstio: ReadonlySet<string> = new Set(['virtualservice-host-headless'])

/** Whether a denial claims that Istio cannot deliver. An absent list of gateways means the mesh: that finding is the runbook's. */
const claimsBroken = ({ action, rule, about }: Outcome): boolean =>
  action === 'deny' &&
  !beyondIstio.has(rule) &&
  !(rule === 'virtualservice-mesh-gateway' && about === 'absent') &&
  rules.some(({ id, kinds }) => id === rule && kinds.includes('broken'))

/**
 * All in which Istio and we disagree about a case. `note` is told what a case had: each rule that fired, and whether it was clean.
 */
export const disagreements = async (one: Case, oracle: Oracle, note: (what: string) => void): Promise<string[]> => {
  const objects = one.objects.map(prepared)
  const clusterDomain = one.mesh?.clusterDomain ?? defaultPolicy.clusterDomain
  const policy = { ...defaultPolicy, clusterDomain }
  const namespaces = [...new Set(one.clients.map(({ namespace }) => namespace))]
  const asked = namespaces.flatMap((namespace) => podLabels.map((labels) => ({ namespace, labels })))
  const [answer] = await oracle.ask([{ id: 'case', objects, domain: clusterDomain, clients: asked }])
  if (answer === undefined || answer.refused.length > 0) throw new Error(`istiod refuses ${answer?.refused.join('; ')}`)
  const view = new ObjectStore({ clusterDomain, unlistedNamespacesSelected: false })
  for (const object of objects) view.put(parseObject(object) as KnownObject)
  const clients = asked.map((client) => ({
    namespace: client.namespace,
    labels: new Map(Object.entries(client.labels)),
  }))
  const differences = clients.flatMap((client, index) => {
    const where = `for a client in ${client.namespace}${[...client.labels].map(([label, value]) => ` with ${label}=${value}`)}`
    const ours = ourTable(view, client, policy)
    const istios = istioTable(answer.clients[index] as Emitted, view, client, policy)
    const clusters = (list: readonly string[]): Table => new Map(list.map((name) => [name, ['is there']]))
    return [
      ...diff(where, ours.table, istios.table),
      ...diff(where, clusters(ours.clusters), clusters(istios.clusters)),
    ]
  })
  const circumstances = circumstancesIn(view, { policy })
  const verdicts = objects.flatMap((manifest) => {
    const known = parseObject(manifest)
    if (known?.kind === 'Service')
      return [{ manifest, outcomes: judgeService(known.object, undefined, circumstances).outcomes }]
    if (known?.kind !== 'VirtualService') return []
    return [{ manifest, outcomes: judgeVirtualService(known.object, undefined, circumstances).outcomes }]
  })
  for (const rule of new Set(verdicts.flatMap(({ outcomes }) => outcomes.map(({ rule }) => rule)))) note(rule)
  const isClean = verdicts.every(({ outcomes }) => outcomes.length === 0)
  note(isClean ? 'clean' : 'with findings')
  const claims = verdicts.flatMap(({ manifest, outcomes }) => {
    const virtualService = parseObject(manifest)
    if (virtualService?.kind !== 'VirtualService' || virtualService.object.hosts.length === 0) return []
    const broken = outcomes.filter(claimsBroken)
    const { namespace, name } = virtualService.object
    const failures = asked.map((client, index) => ({
      client,
      ...failuresOf(manifest, { objects, domain: clusterDomain, client, emitted: answer.clients[index] as Emitted }),
    }))
    const given = failures.filter(({ client }) => isVisible(client.namespace, virtualService.object))
    const who = (namespaceOfClient: string) => `VirtualService ${namespace}/${name} for clients in ${namespaceOfClient}`
    const overlooked = isClean ? given.filter(({ whole }) => whole.length > 0) : []
    // Of a route for some Pods others know nothing: that it is broken shows in some client of the namespace.
    const wronged = [...Map.groupBy(given, ({ client }) => client.namespace).values()].filter(
      (some) =>
        broken.length > 0 &&
        some.some(({ concerned }) => concerned) &&
        some.every(({ whole, partial }) => whole.length + partial.length === 0),
    )
    return [
      ...overlooked.map(({ client, whole }) => `${who(client.namespace)}: no finding, but ${whole.join('; ')}`),
      ...wronged.map(
        ([first]) =>
          `${who(first?.client.namespace ?? '')}: works, but is denied: ${broken.map(({ rule, field, problem }) => `${rule} ${field}: ${problem}`).join('; ')}`,
      ),
    ]
  })
  return [...differences, ...claims]
}

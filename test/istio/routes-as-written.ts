/**
 * What a VirtualService says, read naively from its manifest, held against what Istio's generator makes of it. Nothing of src is asked: this
 * judges our rules, and must not share their mistakes.
 */
import { Fields } from '../../src/api/fields.ts'
import type { Client, Manifest } from './generator.ts'
import type { Emitted, EmittedChain } from './oracle.ts'

type Condition = {
  takesAll: boolean
  port: number
  gateways: string[]
  sourceNamespace: string
  sourceLabels: Map<string, string>
}
type Destination = { host: string; port: number | undefined; subset: string; weight: number }
type WrittenRoute = {
  protocol: 'http' | 'tcp' | 'tls'
  name: string
  /** The beginning of the names that its delegate's routes are given; undefined where it has none. */
  delegated: string | undefined
  match: Condition | undefined
  destinations: Destination[]
  /** Where copies of its requests go. */
  mirrors: Destination[]
}

type Circumstances = { objects: readonly Manifest[]; domain: string; client: Client; emitted: Emitted }

const full = (host: string, namespace: string, domain: string): string =>
  host.includes('.') || host.startsWith('*') ? host : `${host}.${namespace}.svc.${domain}`

/** What istiod decides; all else the sidecar looks at in a request. */
const decidedBefore: ReadonlySet<string> = new Set(['name', 'port', 'gateways', 'sourceNamespace', 'sourceLabels'])

const readCondition = (match: Fields): Condition => ({
  takesAll: Object.keys(match.value).every((key) => decidedBefore.has(key)),
  port: match.number('port') ?? 0,
  gateways: match.strings('gateways'),
  sourceNamespace: match.string('sourceNamespace') ?? '',
  sourceLabels: new Map(match.stringMap('sourceLabels')),
})

const readDestination = (fields: Fields, weight: number): Destination => ({
  host: fields.string('host') ?? '',
  port: fields.object('port').number('number'),
  subset: fields.string('subset') ?? '',
  weight,
})

const readMirrors = (route: Fields): Destination[] => {
  const isCopied = (of: Fields, percentage: string) => Number(of.object(percentage).raw('value') ?? 100) > 0
  return [
    ...(route.has('mirror') && isCopied(route, 'mirrorPercentage') ? [readDestination(route.object('mirror'), 0)] : []),
    ...route
      .list('mirrors', (one) => (isCopied(one, 'percentage') ? [readDestination(one.object('destination'), 0)] : []))
      .flat(),
  ]
}

const readRoutes = (spec: Fields): WrittenRoute[] =>
  (['http', 'tcp', 'tls'] as const).flatMap((protocol) =>
    spec
      .list(protocol, (route) => {
        const all = route.list('route', (item) =>
          readDestination(item.object('destination'), item.number('weight') ?? 0),
        )
        const destinations = all.filter(({ weight }) => weight > 0 || all.length === 1)
        const name = route.string('name') ?? ''
        const delegated = route.has('delegate') ? `${name}-` : undefined
        const common = { protocol, delegated, destinations, mirrors: readMirrors(route) }
        const matches = route.list('match', (match) => ({
          ...common,
          name: [name, match.string('name')].filter(Boolean).join('.'),
          match: readCondition(match),
        }))
        return matches.length === 0 ? [{ ...common, name, match: undefined }] : matches
      })
      .flat(),
  )

/** Whether a route is for the Pods of a client, if it is for the mesh at all. In an http route gateways make Istio read over the source. */
const isFrom = (condition: Condition | undefined, client: Client, isHttp: boolean): boolean =>
  condition === undefined ||
  (isHttp && condition.gateways.length > 0) ||
  ((condition.sourceNamespace === '' || condition.sourceNamespace === client.namespace) &&
    [...condition.sourceLabels].every(([name, value]) => client.labels?.[name] === value))

const isForMesh = (condition: Condition | undefined): boolean =>
  condition === undefined || condition.gateways.length === 0 || condition.gateways.includes('mesh')

/** The clusters to which Istio sends what takes this route at this host and port; undefined where it is not given. */
const sentTo = (
  owner: string,
  route: WrittenRoute,
  host: string,
  port: number,
  { emitted }: Pick<Circumstances, 'emitted'>,
): { clusters: string[]; mirrors: string[] } | 'answers' | undefined => {
  if (route.protocol === 'http') {
    const virtualHosts = [emitted.routes[String(port)], emitted.routes[`${host}:${port}`]].flatMap((one) => one ?? [])
    const isIt = (name: string) =>
      route.delegated === undefined ? name === route.name : name.startsWith(route.delegated)
    const found = virtualHosts
      .filter(({ name }) => name === `${host.toLowerCase()}:${port}`)
      .flatMap(({ routes }) => routes)
      .filter(({ config, name }) => config === owner && isIt(name))
    if (found.length === 0) return undefined
    if (found.every(({ redirect, directResponse }) => redirect || directResponse)) return 'answers'
    const names = (all: { name: string }[]) => all.map(({ name }) => name)
    return {
      clusters: found.flatMap(({ clusters }) => names(clusters)),
      mirrors: found.flatMap(({ mirrors }) => names(mirrors)),
    }
  }
  const chains = emitted.listeners
    .filter((listener) => listener.port === port)
    .flatMap((listener): EmittedChain[] => [...listener.chains, ...(listener.default ? [listener.default] : [])])
    .filter(({ config, match }) => config === owner && (match.serverNames !== undefined) === (route.protocol === 'tls'))
  const wanted = chains.map(({ tcp = [] }) => ({ clusters: tcp.map(({ name }) => name), mirrors: [] }))
  const isMeant = ({ clusters }: { clusters: string[] }) =>
    route.destinations.every(({ host: one }) => clusters.some((name) => name.split('|')[3]?.startsWith(one)))
  return wanted.find(isMeant) ?? wanted[0]
}

type Port = { port: number; name?: string }

/**
 * Whether an object is exported to the client's namespace. What is not may be given a stray virtual host by a VirtualService with another
 * host; nobody should count on that.
 */
const isExported = (manifest: Manifest, client: Client): boolean => {
  const { kind, metadata } = manifest
  const annotation = new Fields(metadata).stringMap('annotations').get('networking.istio.io/exportTo')
  const exportTo =
    kind === 'Service'
      ? annotation?.split(',').flatMap((one) => one.trim() || [])
      : new Fields(manifest).object('spec').strings('exportTo')
  const isOwn = metadata.namespace === client.namespace
  return (
    exportTo === undefined ||
    exportTo.length === 0 ||
    exportTo.some((one) => one === '*' || one === client.namespace || (one === '.' && isOwn))
  )
}

/** The ports of the hosts as those Services and ServiceEntries say that the client may know. */
const portsOf = (host: string, { objects, domain, client }: Circumstances): number[] =>
  objects.flatMap((manifest): number[] => {
    const { kind, metadata, spec } = manifest
    if (!isExported(manifest, client)) return []
    const { ports = [], hosts = [] } = (spec ?? {}) as { ports?: (Port & { number?: number })[]; hosts?: string[] }
    const isIt =
      kind === 'Service'
        ? `${metadata.name}.${metadata.namespace}.svc.${domain}` === host
        : kind === 'ServiceEntry' && hosts.includes(host)
    return isIt ? ports.map(({ port, number }) => number ?? port) : []
  })

const namespaceOf = ({ metadata }: Manifest): string => metadata.namespace ?? ''

const ownerOf = (manifest: Manifest): string => `${namespaceOf(manifest)}/${manifest.metadata.name}`

/** Whether nothing but routes could stand behind a host: a Service without selector, which answers with its own empty cluster. */
const isEmpty = (host: string, { objects, domain }: Circumstances): boolean =>
  objects.some(({ kind, metadata, spec = {} }) => {
    const isIt = kind === 'Service' && `${metadata.name}.${metadata.namespace}.svc.${domain}` === host
    return isIt && !('selector' in spec) && !('externalName' in spec)
  })

/** The hosts of all Services and ServiceEntries. */
const hostsOf = ({ objects, domain }: Circumstances): string[] =>
  objects.flatMap(({ kind, metadata, spec = {} }) =>
    kind === 'Service'
      ? [`${metadata.name}.${metadata.namespace}.svc.${domain}`]
      : kind === 'ServiceEntry' && 'hosts' in spec
        ? (spec.hosts as string[])
        : [],
  )

/**
 * Whether a host is that of an ExternalName or a headless Service. The former is routed only where some other Service has its port, and
 * connections to the latter only where it has Pods: of that nothing is said.
 */
const hasNoListener = (host: string, { objects, domain }: Circumstances): boolean =>
  objects.some(
    ({ kind, metadata, spec = {} }) =>
      kind === 'Service' &&
      ('externalName' in spec || ('clusterIP' in spec && spec.clusterIP === 'None')) &&
      `${metadata.name}.${metadata.namespace}.svc.${domain}` === host,
  )

/**
 * Whether a ServiceEntry without address has the port for a protocol in which servers speak first: Istio drops one of the two listeners on
 * 0.0.0.0, and of that nothing is said either.
 */
const isContested = (port: number, { objects }: Circumstances): boolean =>
  objects.some(({ kind, spec }) => {
    const { ports = [], addresses = [] } = (spec ?? {}) as {
      ports?: { number?: number; protocol?: string }[]
      addresses?: string[]
    }
    const isIt = ports.some(({ number, protocol = '' }) => number === port && /^(mongo|mysql)$/i.test(protocol))
    return kind === 'ServiceEntry' && addresses.length === 0 && isIt
  })

/** What of a VirtualService does not work as written for a client, as sentences. */
export type Failures = {
  /** Whether all routes are for the client, and not for the sidecars of others only. */
  concerned: boolean
  /** Routes that the client is given nowhere, hosts that no route is given for, and routes that do not lead where they say. */
  whole: string[]
  /** What need not be wrong: a route is not given at one host and port but at others, or it may be meant for another gateway. */
  partial: string[]
}

export const failuresOf = (manifest: Manifest, circumstances: Circumstances): Failures => {
  const { domain, client, emitted } = circumstances
  const spec = new Fields(manifest).object('spec')
  const namespace = namespaceOf(manifest)
  const owner = ownerOf(manifest)
  const known = new Set(emitted.clusters.map(({ name }) => name))
  const written = spec.strings('hosts').map((host) => full(host, namespace, domain))
  const hosts = written.flatMap((host) =>
    host.startsWith('*') ? hostsOf(circumstances).filter((one) => one.endsWith(host.slice(1).toLowerCase())) : [host],
  )
  const isUsable = (cluster: string): boolean =>
    known.has(cluster) && !isEmpty(cluster.split('|')[3] ?? '', circumstances)
  const reaches = (cluster: string | undefined, { host, port, subset }: Destination): boolean => {
    const [, ofPort, ofSubset, ofHost = ''] = cluster?.split('|') ?? []
    const isNamed = ofHost === full(host, namespace, domain) && ofSubset === subset
    const hasPort = port === undefined || ofPort === String(port)
    return isNamed && hasPort && isUsable(cluster ?? '')
  }
  const failures: Failures = { concerned: true, whole: [], partial: [] }
  // What sidecars are not given may be meant for another gateway, whose hosts and ports nobody here knows.
  const hasGateways = spec.strings('gateways').some((gateway) => gateway !== 'mesh')
  const maybeElsewhere = (host: string) => hasGateways || hasNoListener(host, circumstances)
  const served = new Set<string>()
  const closed = new Set<string>()
  // Hosts by whether one of their ports, of those of the routes, is contested, and whether one is not.
  const [contested, open] = [new Set<string>(), new Set<string>()]
  let isForAny = false
  // A host that has other ports only than those of the matches is promised nothing.
  const promised = new Set(hosts.filter((host) => portsOf(host.toLowerCase(), circumstances).length === 0))
  for (const route of readRoutes(spec)) {
    if (!isFrom(route.match, client, route.protocol === 'http')) {
      failures.concerned = false
      continue
    }
    const all = hosts.flatMap((host) =>
      portsOf(host.toLowerCase(), circumstances)
        .filter((port) => (route.match?.port || port) === port)
        .map((port) => ({ host, port, sent: sentTo(owner, route, host, port, circumstances) })),
    )
    const isMeant = isForMesh(route.match)
    for (const host of isMeant ? all.map((place) => place.host) : hosts) promised.add(host)
    if (!isMeant) continue
    isForAny = true
    // Where a match is for some sidecars only, what comes after it is for the others.
    const places = all.filter(({ port }) => !closed.has(`${route.protocol} ${port}`))
    const isForSome = (route.match?.sourceLabels.size ?? 0) > 0 || route.match?.sourceNamespace !== ''
    if (route.match?.takesAll && isForSome) for (const { port } of places) closed.add(`${route.protocol} ${port}`)
    if (places.length < all.length && places.length === 0) continue
    for (const { host, port } of places) (isContested(port, circumstances) ? contested : open).add(host)
    const given = places.filter(({ sent }) => sent !== undefined)
    if (given.length === 0) {
      const areContested = places.length > 0 && places.every(({ port }) => isContested(port, circumstances))
      const list = hasGateways || areContested || hosts.some(maybeElsewhere) ? failures.partial : failures.whole
      list.push(`${route.protocol} ${route.name} is given nowhere`)
    }
    for (const { host, port, sent } of places) {
      if (sent === undefined) {
        failures.partial.push(`${route.protocol} ${route.name} is not given at ${host}:${port}`)
        continue
      }
      served.add(host)
      if (sent === 'answers') continue
      if (route.delegated !== undefined) {
        // Its destinations are written in another object: that their clusters are there is enough.
        const gone = [...sent.clusters, ...sent.mirrors].filter((name) => !isUsable(name))
        for (const name of gone) failures.whole.push(`${route.name} at ${host}:${port} leads to ${name}`)
        continue
      }
      const lost = [
        ...route.destinations.filter((destination, index) => !reaches(sent.clusters[index], destination)),
        ...route.mirrors.filter((destination, index) => !reaches(sent.mirrors[index], destination)),
      ]
      for (const destination of lost) {
        failures.whole.push(`${route.name} at ${host}:${port} does not reach ${JSON.stringify(destination)}`)
      }
    }
  }
  if (!isForAny) failures.partial.push('no route is for the mesh')
  const exact = written.filter((one) => !one.startsWith('*'))
  for (const host of exact.filter((one) => promised.has(one) && !served.has(one))) {
    const isContestedOnly = contested.has(host) && !open.has(host)
    const list = isContestedOnly || maybeElsewhere(host) ? failures.partial : failures.whole
    list.push(`host ${host} is not served`)
  }
  return failures
}

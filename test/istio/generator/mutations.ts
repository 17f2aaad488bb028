/**
 * What can be wrong, or odd, in a case that was right: one entry a mutation. Each changes the cluster in place, in a way that the
 * API server and istiod's validation accept, and says whether it found anything to change.
 */
import { isIPAddress, isWildcard, resolveShortName, serviceHost } from '../../../src/istio/hosts.ts'
import type { DestinationRule } from './destination-rules.ts'
import type { ServiceEntry } from './service-entries.ts'
import {
  addPort,
  clusterIP,
  exportAnnotation,
  namedPort,
  type Port,
  type PortKind,
  type Service,
  serviceScopes,
} from './services.ts'
import {
  allPorts,
  type Client,
  clientLabels,
  exportedTo,
  exportScopes,
  foreignHosts,
  ingressGateway,
  istioDraft,
  type Manifest,
  namespaces,
  otherLabels,
  port80,
  reservedPorts,
  subsetNames,
  unknownName,
  unknownSubset,
} from './universe.ts'
import { type Destination, delegated, type Match, type Route, type VirtualService } from './virtual-services.ts'

export type Cluster = {
  readonly domain: string
  readonly clients: readonly Client[]
  virtualHosts: Service[]
  destinations: Service[]
  entries: ServiceEntry[]
  rules: DestinationRule[]
  virtualServices: VirtualService[]
}

/** One item of a list, as drawn; undefined of an empty one. */
export type Choose = <T>(list: readonly T[]) => T | undefined

type Mutation = (cluster: Cluster, choose: Choose) => boolean

const routeKinds = ['http', 'tcp', 'tls'] as const

const routesOf = ({ spec }: VirtualService): Route[] => routeKinds.flatMap((kind) => spec[kind] ?? [])

const matchesIn = (virtualServices: readonly VirtualService[]): Match[] =>
  virtualServices.flatMap(routesOf).flatMap(({ match }) => match ?? [])

const destinationsIn = (routes: readonly Route[]): Destination[] =>
  routes.flatMap(({ route, mirror, mirrors }) => [
    ...(route ?? []).map(({ destination }) => destination),
    ...(mirror === undefined ? [] : [mirror]),
    ...(mirrors ?? []).map(({ destination }) => destination),
  ])

/** VirtualServices that are no delegates. */
const rootsIn = ({ virtualServices }: Cluster): VirtualService[] =>
  virtualServices.filter(({ spec }) => spec.hosts !== undefined)

/** Changes the one chosen, where there is any. */
const change = <T>(one: T | undefined, how: (one: T) => void): boolean => {
  if (one === undefined) return false
  how(one)
  return true
}

const toMatch =
  (how: (match: Match, cluster: Cluster, choose: Choose) => void): Mutation =>
  (cluster, choose) =>
    change(choose(matchesIn(cluster.virtualServices)), (match) => how(match, cluster, choose))

const toGateways =
  (gateways: readonly string[] | undefined): Mutation =>
  (cluster, choose) =>
    change(choose(rootsIn(cluster)), ({ spec }) => {
      if (gateways === undefined) delete spec.gateways
      else spec.gateways = [...gateways]
    })

const toMatchGateways = (gateways: readonly string[]): Mutation =>
  toMatch((match) => {
    match.gateways = [...gateways]
  })

/** Of an IP address or a wildcard no other form can be made that istiod accepts. */
const isName = (host: string): boolean => !isIPAddress(host) && !isWildcard(host)

const firstHost = ({ spec }: VirtualService): string => spec.hosts?.[0] ?? ''
const hasOneName = (owner: VirtualService): boolean => owner.spec.hosts?.length === 1 && isName(firstHost(owner))

/**
 * Another text for the host of a VirtualService, in sniHosts as well, which must be among the hosts. Hosts of one VirtualService must
 * not overlap: one that has several keeps them.
 */
const toHost =
  (how: (host: string, virtualService: VirtualService, cluster: Cluster, choose: Choose) => string): Mutation =>
  (cluster, choose) =>
    change(choose(rootsIn(cluster).filter(hasOneName)), (virtualService) => {
      const host = firstHost(virtualService)
      const other = how(host, virtualService, cluster, choose)
      virtualService.spec.hosts = [other]
      for (const match of matchesIn([virtualService])) if (match.sniHosts !== undefined) match.sniHosts = [other]
    })

/** One more host, of an exact name; hosts of one VirtualService must not overlap. */
const withHost =
  (how: (virtualService: VirtualService, cluster: Cluster, choose: Choose) => string | undefined): Mutation =>
  (cluster, choose) => {
    const virtualService = choose(rootsIn(cluster).filter(({ spec }) => spec.hosts?.every(isName)))
    const host = virtualService && how(virtualService, cluster, choose)
    const hosts = virtualService?.spec.hosts ?? []
    if (virtualService === undefined || host === undefined || hosts.includes(host)) return false
    virtualService.spec.hosts = [...hosts, host]
    return true
  }

/** The labels of a host after expansion: the Service's name and namespace first. */
const labelsOf = (host: string, { metadata }: VirtualService, { domain }: Cluster): string[] =>
  resolveShortName(host, metadata.namespace, domain).split('.')

const firstLabels = (count: number) => (host: string, owner: VirtualService, cluster: Cluster) =>
  labelsOf(host, owner, cluster).slice(0, count).join('.')

const fullHost = (host: string, { metadata }: VirtualService, { domain }: Cluster): string =>
  resolveShortName(host, metadata.namespace, domain).replace(/\.$/, '')

/** A destination, or the mirror, of one VirtualService. */
const toDestination =
  (how: (destination: Destination, owner: VirtualService, cluster: Cluster, choose: Choose) => void): Mutation =>
  (cluster, choose) => {
    const owner = choose(cluster.virtualServices)
    const destination = owner && choose(destinationsIn(routesOf(owner)))
    return change(destination, (one) => owner && how(one, owner, cluster, choose))
  }

const toDestinationHost = (
  how: (host: string, owner: VirtualService, cluster: Cluster, choose: Choose) => string | undefined,
): Mutation =>
  toDestination((destination, ...rest) => {
    if (isName(destination.host)) destination.host = how(destination.host, ...rest) ?? destination.host
  })

/** A route to some destination of the cluster. */
const someRoute = ({ destinations, domain }: Cluster, choose: Choose): Required<Pick<Route, 'route'>> => {
  const service = choose(destinations)
  const host = service === undefined ? foreignHosts[0] : serviceHost(service.metadata, domain)
  const port = choose(service?.spec.ports ?? [])?.port
  return { route: [{ destination: { host, ...(port === undefined ? {} : { port: { number: port } }) } }] }
}

/** A route of another kind beside those that are there, for one port or for all. */
const withRoute = (kind: (typeof routeKinds)[number]): Mutation => {
  return (cluster, choose) =>
    change(choose(rootsIn(cluster)), ({ spec }) => {
      const port = choose([undefined, ...allPorts])
      const match = {
        ...(port === undefined ? {} : { port }),
        ...(kind === 'tls' ? { sniHosts: (spec.hosts ?? []).slice(0, 1) } : {}),
      }
      const hasMatch = Object.keys(match).length > 0
      spec[kind] = [...(spec[kind] ?? []), { ...(hasMatch ? { match: [match] } : {}), ...someRoute(cluster, choose) }]
    })
}

/** What takes every request before the routes that are there. */
const firstHttpMatch =
  (match: Match | undefined): Mutation =>
  (cluster, choose) =>
    change(choose(cluster.virtualServices.filter(({ spec }) => spec.http !== undefined)), ({ spec }) => {
      const first = {
        ...(match === undefined ? {} : { match: [structuredClone(match)] }),
        ...someRoute(cluster, choose),
      }
      spec.http = [first, ...(spec.http ?? [])]
    })

const toVirtualHost =
  (
    how: (service: Service, cluster: Cluster, choose: Choose) => void,
    where: (service: Service) => boolean = () => true,
  ): Mutation =>
  (cluster, choose) =>
    change(choose(cluster.virtualHosts.filter(where)), (service) => how(service, cluster, choose))

const hasClusterIP = ({ spec }: Service): boolean => spec.clusterIP !== undefined && spec.clusterIP !== 'None'

/** The ports of a Service that do not share their number with one of another protocol. */
const singlePorts = ({ spec }: Service): Port[] =>
  spec.ports.filter(({ port }) => spec.ports.filter((other) => other.port === port).length === 1)

/** A port of a virtual host says otherwise what its protocol is. */
const toPortKind = (kind: PortKind): Mutation =>
  toVirtualHost(
    (service, _, choose) => {
      const { spec } = service
      const port = choose(singlePorts(service))
      spec.ports = spec.ports.map((other, index) => (other === port ? namedPort(kind, other.port, index) : other))
    },
    (service) => singlePorts(service).length > 0,
  )

/** A port of a virtual host gets another number, there and in the matches of all VirtualServices, as far as it is free. */
const toPortNumber =
  (numbers: readonly number[]): Mutation =>
  (cluster, choose) => {
    const service = choose(cluster.virtualHosts)
    const port = service && choose(singlePorts(service))
    const number = choose(numbers)
    if (port === undefined || number === undefined || service?.spec.ports.some((other) => other.port === number)) {
      return false
    }
    for (const match of matchesIn(cluster.virtualServices)) if (match.port === port.port) match.port = number
    port.port = number
    return true
  }

const unusedName = (used: readonly Manifest[], stem: string): string => {
  let name = stem
  for (let number = 2; used.some(({ metadata }) => metadata.name === name); number++) name = `${stem}-${number}`
  return name
}

/** Another VirtualService for the same hosts, older or newer than the first. */
const duplicated =
  (place: 'older' | 'newer'): Mutation =>
  (cluster, choose) =>
    change(choose(rootsIn(cluster)), (original) => {
      const copy = structuredClone(original)
      copy.metadata.name = unusedName(cluster.virtualServices, `${original.metadata.name}-${place}`)
      copy.metadata.namespace = choose([original.metadata.namespace, ...namespaces]) ?? ''
      delete copy.spec.exportTo
      Object.assign(copy.spec, exportedTo(choose(exportScopes)))
      const index = cluster.virtualServices.indexOf(original) + (place === 'older' ? 0 : 1)
      cluster.virtualServices = cluster.virtualServices.toSpliced(index, 0, copy)
    })

/** The delegate of one VirtualService; where there is none yet, of one that gets it. */
const toDelegate =
  (how: (delegate: VirtualService, root: Route, cluster: Cluster, choose: Choose) => void): Mutation =>
  (cluster, choose) => {
    const owner = choose(rootsIn(cluster).filter(({ spec }) => spec.http !== undefined))
    const rootIn = (virtualService: VirtualService | undefined) =>
      virtualService?.spec.http?.find(({ delegate }) => delegate !== undefined)
    if (owner !== undefined && rootIn(owner) === undefined) {
      const made = delegated(owner, choose(namespaces) ?? '')
      cluster.virtualServices = [...cluster.virtualServices, ...(made === undefined ? [] : [made])]
    }
    const root = rootIn(owner)
    const found = cluster.virtualServices.find(
      ({ metadata }) => metadata.name === root?.delegate?.name && metadata.namespace === root.delegate.namespace,
    )
    return change(found, (delegate) => root && how(delegate, root, cluster, choose))
  }

/** The rule for a destination of a VirtualService that a client's namespace, another or the Service's own has beside others. */
const withRule =
  (subsets: readonly string[]): Mutation =>
  (cluster, choose) => {
    const service = choose(cluster.destinations)
    const namespace = choose([...cluster.clients.map((client) => client.namespace), ...namespaces])
    if (service === undefined || namespace === undefined) return false
    const rule = istioDraft(
      'DestinationRule',
      { namespace, name: unusedName(cluster.rules, 'rule') },
      {
        host: serviceHost(service.metadata, cluster.domain),
        ...(subsets.length === 0 ? {} : { subsets: subsets.map((name) => ({ name, labels: { version: name } })) }),
      },
    )
    cluster.rules = [...cluster.rules, rule]
    return true
  }

const without =
  (kind: 'virtualHosts' | 'destinations' | 'rules'): Mutation =>
  (cluster, choose) => {
    const gone = choose<object>(cluster[kind])
    if (gone === undefined) return false
    const remaining = <T extends object>(list: readonly T[]) => list.filter((one) => one !== gone)
    cluster.virtualHosts = remaining(cluster.virtualHosts)
    cluster.destinations = remaining(cluster.destinations)
    cluster.rules = remaining(cluster.rules)
    return true
  }

export const mutations = {
  'match port: another': toMatch((match, _, choose) => {
    match.port = choose(allPorts.filter((port) => port !== match.port)) ?? port80
  }),
  'match port: none': toMatch((match) => {
    delete match.port
  }),
  'match port: 80': toMatch((match) => {
    match.port = port80
  }),
  'match port: of a listed gateway': (cluster, choose) =>
    change(choose(rootsIn(cluster)), ({ spec }) => {
      spec.gateways = ['mesh', ingressGateway]
      spec.http = [...(spec.http ?? []), { match: [{ port: 443 }], ...someRoute(cluster, choose) }]
    }),
  'match gateways: mesh': toMatchGateways(['mesh']),
  'match gateways: other': toMatchGateways([ingressGateway]),
  'match gateways: both': toMatchGateways(['mesh', ingressGateway]),
  'match sourceNamespace': toMatch((match, _, choose) => {
    match.sourceNamespace = choose(namespaces) ?? ''
  }),
  'match sourceLabels': toMatch((match) => {
    match.sourceLabels = { ...clientLabels }
  }),
  'match sourceLabels, with gateways': toMatch((match) => {
    match.sourceLabels = { ...otherLabels }
    match.gateways = ['mesh']
  }),

  'gateways: other': toGateways([ingressGateway]),
  'gateways: both': toGateways(['mesh', ingressGateway]),
  'gateways: empty': toGateways([]),
  'gateways: absent': toGateways(undefined),
  'gateways: Mesh': toGateways(['Mesh']),
  'gateways: of a namespace': toGateways(['shop/mesh']),

  'host: short': toHost(firstLabels(1)),
  'host: full': toHost(fullHost),
  'host: svc.ns': toHost(firstLabels(2)),
  'host: svc.ns.svc': toHost(firstLabels(3)),
  'host: trailing dot': toHost((host, owner, cluster) => `${fullHost(host, owner, cluster)}.`),
  'host: upper case': toHost((host) => host.toUpperCase()),
  'host: wildcard': toHost((host, owner, cluster) => `*.${labelsOf(host, owner, cluster).slice(1).join('.')}`),
  'host: foreign': toHost((_, __, ___, choose) => choose(foreignHosts) ?? ''),
  'host: wildcard, foreign': toHost(() => '*.example.com'),
  'host: of nobody': toHost((_, { metadata }, { domain }) =>
    serviceHost({ namespace: metadata.namespace, name: unknownName }, domain),
  ),
  'host: IP address': toHost(() => clusterIP(0)),
  'host: of a destination': toHost((host, _, { destinations, domain }, choose) => {
    const service = choose(destinations)
    return service === undefined ? host : serviceHost(service.metadata, domain)
  }),
  'hosts: svc.ns beside it': withHost((owner, cluster) => firstLabels(2)(firstHost(owner), owner, cluster)),
  'hosts: another virtual host': withHost((owner, cluster, choose) => {
    const own = fullHost(firstHost(owner), owner, cluster)
    const hosts = cluster.virtualHosts.map(({ metadata }) => serviceHost(metadata, cluster.domain))
    return choose(hosts.filter((host) => host !== own))
  }),
  'hosts: a foreign one': withHost((_, __, choose) => choose(foreignHosts)),

  'destination port: another': toDestination((destination, _, __, choose) => {
    destination.port = { number: choose(allPorts) ?? port80 }
  }),
  'destination port: none': toDestination((destination) => {
    delete destination.port
  }),
  'destination: short': toDestinationHost(firstLabels(1)),
  'destination: svc.ns': toDestinationHost(firstLabels(2)),
  'destination: svc.ns.svc': toDestinationHost(firstLabels(3)),
  'destination: trailing dot': toDestinationHost((host, owner, cluster) => `${fullHost(host, owner, cluster)}.`),
  'destination: upper case': toDestinationHost((host) => host.toUpperCase()),
  'destination: of nobody': toDestinationHost((_, { metadata }, { domain }) =>
    serviceHost({ namespace: metadata.namespace, name: unknownName }, domain),
  ),
  'destination: foreign': toDestinationHost((_, __, ___, choose) => choose(foreignHosts)),
  'destination: wildcard': toDestinationHost(() => '*.example.com'),
  'destination: a virtual host': toDestination((destination, _, { virtualHosts, domain }, choose) => {
    const service = choose(virtualHosts)
    const port = choose(service?.spec.ports ?? [])
    if (service !== undefined) destination.host = serviceHost(service.metadata, domain)
    if (port !== undefined) destination.port = { number: port.port }
  }),
  'subset: one': toDestination((destination, _, __, choose) => {
    destination.subset = choose(subsetNames) ?? unknownSubset
  }),
  'subset: of nobody': toDestination((destination) => {
    destination.subset = unknownSubset
  }),
  'weight: 0 beside others': (cluster, choose) =>
    change(choose(cluster.virtualServices.flatMap(routesOf).filter(({ route }) => route?.length === 1)), (route) => {
      const idle = someRoute(cluster, choose).route.map((one) => ({ ...one, ...choose([{ weight: 0 }, {}]) }))
      route.route = [...(route.route ?? []).map((one) => ({ ...one, weight: 100 })), ...idle]
    }),
  'weight: 0 for one of nobody': (cluster, choose) =>
    change(choose(cluster.virtualServices.flatMap(routesOf).filter(({ route }) => route?.length === 1)), (route) => {
      const idle = { destination: { host: foreignHosts[2] }, weight: 0 }
      route.route = [...(route.route ?? []).map((one) => ({ ...one, weight: 100 })), idle]
    }),
  'mirror: of nobody': (cluster, choose) =>
    change(
      choose(cluster.virtualServices.flatMap(({ spec }) => spec.http ?? []).filter(({ route }) => route !== undefined)),
      (route) => {
        delete route.mirrors
        route.mirror = { host: unknownName, port: { number: port80 } }
        route.mirrorPercentage = { value: choose([100, 0]) ?? 0 }
      },
    ),

  'route: tcp': withRoute('tcp'),
  'route: tls': withRoute('tls'),
  'route: http': withRoute('http'),
  'routes: http as tcp': (cluster, choose) =>
    change(
      choose(rootsIn(cluster).filter(({ spec }) => spec.http !== undefined && spec.tcp === undefined)),
      ({ spec }) => {
        spec.tcp = (spec.http ?? []).map(({ match = [], route = [] }) => ({
          match: match.map(({ port }) => (port === undefined ? {} : { port })),
          route: route.length === 0 ? someRoute(cluster, choose).route : route,
        }))
        delete spec.http
      },
    ),
  'catch-all first: no match': firstHttpMatch(undefined),
  'catch-all first: prefix': firstHttpMatch({ uri: { prefix: '/' } }),
  'catch-all first: regex': firstHttpMatch({ uri: { regex: '.*' } }),
  'catch-all first: port only': firstHttpMatch({ port: 3111 }),
  'routes: in reverse': (cluster, choose) =>
    change(choose(cluster.virtualServices.filter(({ spec }) => (spec.http?.length ?? 0) > 1)), ({ spec }) => {
      spec.http?.reverse()
    }),

  'VirtualService: an older one': duplicated('older'),
  'VirtualService: a newer one': duplicated('newer'),
  'VirtualService: exported': (cluster, choose) =>
    change(choose(cluster.virtualServices), ({ spec }) => {
      delete spec.exportTo
      Object.assign(spec, exportedTo(choose(exportScopes.slice(1))))
    }),
  'VirtualService: elsewhere': (cluster, choose) =>
    change(choose(rootsIn(cluster)), ({ metadata }) => {
      metadata.name = `${metadata.name}-from-${metadata.namespace}`
      metadata.namespace = choose(namespaces.filter((namespace) => namespace !== metadata.namespace)) ?? ''
    }),

  'delegate: missing': toDelegate((delegate, _, cluster) => {
    cluster.virtualServices = cluster.virtualServices.filter((other) => other !== delegate)
  }),
  'delegate: with hosts': toDelegate(({ metadata, spec }, _, { domain }) => {
    spec.hosts = [serviceHost(metadata, domain)]
  }),
  'delegate: another port': toDelegate(({ spec }, _, __, choose) => {
    for (const route of spec.http ?? []) route.match = [{ port: choose(allPorts) ?? port80 }]
  }),
  'delegate: another path': toDelegate(({ spec }, root) => {
    root.match = (root.match ?? [{}]).map((match) => ({ ...match, uri: { prefix: '/part' } }))
    for (const route of spec.http ?? []) route.match = [{ uri: { prefix: '/other' } }]
  }),
  'delegate: path of its root': toDelegate(({ spec }, root) => {
    root.match = (root.match ?? [{}]).map((match) => ({ ...match, uri: { prefix: '/part' } }))
    for (const route of spec.http ?? []) route.match = [{ uri: { prefix: '/part/below' } }]
  }),
  'delegate: exported': toDelegate(({ spec }, _, __, choose) => {
    Object.assign(spec, exportedTo(choose(exportScopes.slice(1))))
  }),

  'Service port: 80': toPortNumber([port80]),
  'Service port: reserved': toPortNumber(reservedPorts),
  'Service port: one more': toVirtualHost((service, _, choose) => {
    const taken = service.spec.ports.map(({ port }) => port)
    addPort(service, { name: 'http' }, choose(allPorts.filter((port) => !taken.includes(port))) ?? port80)
  }),
  'Service port: UDP beside it': toVirtualHost(
    (service, _, choose) => {
      const ports = singlePorts(service).filter(({ protocol }) => protocol !== 'UDP')
      addPort(service, { name: 'udp', protocol: 'UDP' }, choose(ports)?.port ?? port80)
    },
    (service) => singlePorts(service).some(({ protocol }) => protocol !== 'UDP'),
  ),
  'Service port class: HTTP': toPortKind({ name: 'http' }),
  'Service port class: TCP': toPortKind({ name: 'tcp' }),
  'Service port class: TLS': toPortKind({ name: 'https' }),
  'Service port class: UDP': toPortKind({ name: 'udp', protocol: 'UDP' }),
  'Service port class: undetermined': toPortKind({ name: 'web' }),
  'Service: exported': (cluster, choose) =>
    change(choose([...cluster.virtualHosts, ...cluster.destinations]), ({ metadata }) => {
      metadata.annotations = { [exportAnnotation]: choose(serviceScopes) ?? '*' }
    }),
  'Service: headless': toVirtualHost(({ spec }) => {
    spec.clusterIP = 'None'
  }, hasClusterIP),
  'Service: ExternalName': toVirtualHost(({ spec }) => {
    spec.type = 'ExternalName'
    spec.externalName = 'elsewhere.example.net'
    delete spec.clusterIP
  }, hasClusterIP),
  'Service: no virtual host': without('virtualHosts'),
  'Service: no destination': without('destinations'),
  'ServiceEntry: instead of a virtual host': (cluster, choose) =>
    change(choose(cluster.virtualHosts), (service) => {
      cluster.virtualHosts = cluster.virtualHosts.filter((other) => other !== service)
      const entry = istioDraft('ServiceEntry', service.metadata, {
        hosts: [serviceHost(service.metadata, cluster.domain)],
        ports: [{ number: service.spec.ports[0]?.port ?? port80, name: 'http', protocol: 'HTTP' }],
        location: 'MESH_INTERNAL',
        resolution: 'STATIC',
      })
      cluster.entries = [...cluster.entries, entry]
    }),
  'DestinationRule: one without subsets': withRule([]),
  'DestinationRule: one with subsets': withRule(subsetNames),
  'DestinationRule: gone': without('rules'),
} satisfies Record<string, Mutation>

export type MutationName = keyof typeof mutations
export const mutationNames = Object.keys(mutations) as MutationName[]

import { Fields } from './fields.ts'
import { type NamespacedName, readName } from './metadata.ts'

export type Destination = {
  /** Where it stands, for example `spec.http[0].route[1].destination`. */
  field: string
  host: string
  subset: string | undefined
  /** port.number; undefined where the port is left out. */
  port: number | undefined
  /** Of a copy of the traffic, whose answer nobody waits for. */
  isMirror: boolean
  /** Undefined where it is left out, which Istio reads as 0, unless the route has no other destination. */
  weight: number | undefined
}

/** Conditions of a route: those that istiod decides per sidecar and listener, and those that the sidecar decides per request. */
export type Match = {
  field: string
  name: string
  port: number | undefined
  gateways: readonly string[]
  /** Empty for any. */
  sourceNamespace: string
  sourceLabels: ReadonlyMap<string, string>
  /** What the sidecar itself looks at, as JSON with its keys in order: equal texts take the same requests. */
  conditions: string
  /** Whether these take every request, or every connection. */
  isCatchAll: boolean
}

export type Protocol = 'http' | 'tcp' | 'tls'

export type Route = {
  protocol: Protocol
  field: string
  name: string
  matches: readonly Match[]
  destinations: readonly Destination[]
  /** The destinations of `mirror` and `mirrors`. */
  mirrors: readonly Destination[]
  /** Whether it answers by a redirect, or directly, and so has no destination. */
  answers: boolean
  /** The VirtualService whose routes take its place; its namespace is that of the root where none is given. */
  delegate: NamespacedName | undefined
}

/** What the rules read of a networking.istio.io VirtualService; v1, v1beta1 and v1alpha3 have one schema. */
export type VirtualService = NamespacedName & {
  /** metadata.creationTimestamp, RFC 3339 in UTC; empty where it has none yet. */
  created: string
  hosts: readonly string[]
  gateways: readonly string[]
  /** The namespaces that see it: `.`, `*`, `~` or names; empty where the mesh's default holds. */
  exportTo: readonly string[]
  /** In the order http, tcp, tls. */
  routes: readonly Route[]
}

const readDestination = (destination: Fields, isMirror: boolean, weight?: number): Destination => ({
  field: destination.path,
  host: destination.string('host') ?? '',
  subset: destination.string('subset') || undefined,
  port: destination.object('port').number('number'),
  isMirror,
  weight,
})

const noLabels: ReadonlyMap<string, string> = new Map()

const readMatch = (match: Fields, looksAt: readonly string[], isCatchAll: boolean): Match => ({
  field: match.path,
  name: match.string('name') ?? '',
  port: match.number('port') || undefined,
  gateways: match.strings('gateways'),
  sourceNamespace: match.string('sourceNamespace') ?? '',
  sourceLabels: match.has('sourceLabels') ? match.stringMap('sourceLabels') : noLabels,
  conditions: canonicalJson(Object.fromEntries(looksAt.map((key) => [key, match.raw(key)]))),
  isCatchAll,
})

/** The fields of an HTTPMatchRequest that are conditions on a request. */
const httpConditions: readonly string[] = [
  'uri',
  'ignoreUriCase',
  'scheme',
  'method',
  'authority',
  'headers',
  'withoutHeaders',
  'queryParams',
]

/** JSON with the keys of every object in order; what is undefined is left out. */
export const canonicalJson = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )

/** Conditions on a request that all requests fulfil: Istio 1.31 pilot/pkg/networking/core/route/route.go, IsCatchAllRoute. */
export const takesEveryRequest = (match: Fields): boolean => {
  const uri = match.object('uri')
  return (
    httpConditions.every((key) => key === 'uri' || key === 'ignoreUriCase' || isEmpty(match.raw(key))) &&
    (!match.has('uri') || uri.raw('prefix') === '/' || uri.raw('regex') === '.*')
  )
}

const isEmpty = (value: unknown): boolean =>
  value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0)

const readHttpMatch = (match: Fields): Match => readMatch(match, httpConditions, takesEveryRequest(match))

/** Of nothing there is no copy: a mirror of 0 % is not emitted. */
const isMirrored = (route: Fields): boolean =>
  route.has('mirrorPercentage')
    ? (route.object('mirrorPercentage').number('value') ?? 0) > 0
    : route.raw('mirrorPercent') !== 0

const readMirrors = (route: Fields): Destination[] => [
  ...(route.has('mirror') && isMirrored(route) ? [readDestination(route.object('mirror'), true)] : []),
  ...route
    .list('mirrors', (item) => (isCopied(item) ? [readDestination(item.object('destination'), true)] : []))
    .flat(),
]

const isCopied = (mirror: Fields): boolean =>
  !mirror.has('percentage') || (mirror.object('percentage').number('value') ?? 0) > 0

const readDelegate = (route: Fields): NamespacedName | undefined => {
  if (!route.has('delegate')) return undefined
  const delegate = route.object('delegate')
  return { namespace: delegate.string('namespace') ?? '', name: delegate.string('name') ?? '' }
}

const readDestinations = (route: Fields): Destination[] =>
  route.list('route', (item) => readDestination(item.object('destination'), false, item.number('weight')))

const readHttpRoute = (route: Fields): Route => ({
  protocol: 'http',
  field: route.path,
  name: route.string('name') ?? '',
  matches: route.list('match', readHttpMatch),
  destinations: readDestinations(route),
  mirrors: readMirrors(route),
  answers: route.has('redirect') || route.has('directResponse'),
  delegate: readDelegate(route),
})

/** What a connection is told by: for tcp its address, for tls the name that it asks for too. */
const connectionConditions = { tcp: ['destinationSubnets'], tls: ['destinationSubnets', 'sniHosts'] } as const

const readConnectionRoute =
  (protocol: 'tcp' | 'tls') =>
  (route: Fields): Route => ({
    protocol,
    field: route.path,
    name: '',
    matches: route.list('match', (match) => {
      const isCatchAll = protocol === 'tcp' && match.strings('destinationSubnets').length === 0
      return readMatch(match, connectionConditions[protocol], isCatchAll)
    }),
    destinations: readDestinations(route),
    mirrors: [],
    answers: false,
    delegate: undefined,
  })

/** Projects a VirtualService. Throws MalformedObject. */
export const parseVirtualService = (object: unknown): VirtualService => {
  const fields = new Fields(object)
  const spec = fields.object('spec')
  return {
    ...readName(fields),
    created: fields.object('metadata').string('creationTimestamp') ?? '',
    hosts: spec.strings('hosts'),
    gateways: spec.strings('gateways'),
    exportTo: spec.strings('exportTo'),
    routes: [
      ...spec.list('http', readHttpRoute),
      ...spec.list('tcp', readConnectionRoute('tcp')),
      ...spec.list('tls', readConnectionRoute('tls')),
    ],
  }
}

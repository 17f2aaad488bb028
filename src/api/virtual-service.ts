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

export type HttpMatch = {
  field: string
  port: number | undefined
  gateways: readonly string[]
  /** Whether it takes every request of the listeners that carry it: no condition but port and gateways. */
  isCatchAll: boolean
}

export type HttpRoute = {
  field: string
  name: string
  matches: readonly HttpMatch[]
  destinations: readonly Destination[]
  /** The destinations of `mirror` and `mirrors`. */
  mirrors: readonly Destination[]
}

/** What the rules read of a networking.istio.io VirtualService; v1, v1beta1 and v1alpha3 have one schema. */
export type VirtualService = NamespacedName & {
  hosts: readonly string[]
  gateways: readonly string[]
  http: readonly HttpRoute[]
  /** Whether it has tcp or tls routes too. */
  hasTcpRoutes: boolean
}

const readDestination = (destination: Fields, isMirror: boolean, weight?: number): Destination => ({
  field: destination.path,
  host: destination.string('host') ?? '',
  subset: destination.string('subset'),
  port: destination.object('port').number('number'),
  isMirror,
  weight,
})

/** Fields of a match that are no condition on the request. */
const unconditional: ReadonlySet<string> = new Set(['name', 'port', 'gateways', 'statPrefix', 'ignoreUriCase', 'uri'])

/** Istio 1.31 pilot/pkg/networking/core/route/route.go, IsCatchAllRoute. */
const isCatchAll = (match: Fields): boolean => {
  const uri = match.object('uri')
  return (
    match.keys().every((key) => unconditional.has(key)) &&
    (!match.has('uri') || uri.raw('prefix') === '/' || uri.raw('regex') === '.*')
  )
}

/** Of nothing there is no copy: a mirror of 0 % is not emitted. */
const isMirrored = (route: Fields): boolean =>
  route.object('mirrorPercentage').raw('value') !== 0 && route.raw('mirrorPercent') !== 0

const readHttpRoute = (route: Fields): HttpRoute => ({
  field: route.path,
  name: route.string('name') ?? '',
  matches: route.list('match', (match) => ({
    field: match.path,
    port: match.number('port') || undefined,
    gateways: match.strings('gateways'),
    isCatchAll: isCatchAll(match),
  })),
  destinations: route.list('route', (item) =>
    readDestination(item.object('destination'), false, item.number('weight')),
  ),
  mirrors: [
    ...(route.has('mirror') && isMirrored(route) ? [readDestination(route.object('mirror'), true)] : []),
    ...route.list('mirrors', (item) => readDestination(item.object('destination'), true)),
  ],
})

/** Projects a VirtualService. Throws MalformedObject. */
export const parseVirtualService = (object: unknown): VirtualService => {
  const fields = new Fields(object)
  const spec = fields.object('spec')
  return {
    ...readName(fields),
    hosts: spec.strings('hosts'),
    gateways: spec.strings('gateways'),
    http: spec.list('http', readHttpRoute),
    hasTcpRoutes: ['tcp', 'tls'].some((kind) => spec.list(kind, () => kind).length > 0),
  }
}

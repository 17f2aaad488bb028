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

const readHttpRoute = (route: Fields): HttpRoute => ({
  field: route.path,
  name: route.string('name') ?? '',
  matches: route.list('match', (match) => ({
    field: match.path,
    port: match.number('port') || undefined,
    gateways: match.strings('gateways'),
  })),
  destinations: route.list('route', (item) =>
    readDestination(item.object('destination'), false, item.number('weight')),
  ),
  mirrors: [
    ...(route.has('mirror') ? [readDestination(route.object('mirror'), true)] : []),
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

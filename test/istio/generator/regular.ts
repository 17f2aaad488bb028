/**
 * What is drawn, made regular: a cluster as the runbook wants it, in which every port says one protocol and is nobody's own, everything is
 * exported to all, and every port of a virtual host has its routes. Alone the rules have nothing to say of such a case; with a mutation
 * they have that one thing.
 */
import { classOfPort, type DestinationDraw, type PortKind, type ServiceDraw } from './services.ts'
import type { VirtualServiceDraw } from './virtual-services.ts'

const firstPortOfVirtualHosts = 3111
const firstPortOfDestinations = 3100
/** Between the first ports of two Services. */
const step = 10

/** The one protocol of a case, after that of its first port. */
const kindFor = ({ ports: [first] }: ServiceDraw): PortKind => {
  const drawn = first === undefined ? 'HTTP' : classOfPort({ ...first.kind, port: first.number })
  return { name: { TCP: 'tcp', TLS: 'https', HTTP: 'http', undetermined: 'http', UDP: 'http' }[drawn] }
}

const withPorts = <Draw extends ServiceDraw>(draw: Draw, kind: PortKind, first: number): Draw => ({
  ...draw,
  scope: undefined,
  ports: draw.ports.map((_, index) => ({ number: first + index, kind })),
})

/** Each condition once: a second one would never be reached. */
const regularRoutes = (draw: VirtualServiceDraw): VirtualServiceDraw => {
  const seen = new Set<string>()
  const isNew = (condition: object) => {
    const { length } = [...seen]
    return seen.add(JSON.stringify({ ...condition, name: undefined })).size > length
  }
  const conditioned = draw.conditioned
    .map((one) => ({ ...one, conditions: one.conditions.filter(isNew) }))
    .filter(({ conditions }) => conditions.length > 0)
  return { ...draw, namespace: undefined, hasShortHost: false, conditioned, rest: 'each' }
}

export const regular = <
  Draws extends {
    plain: string | undefined
    virtualHosts: readonly ServiceDraw[]
    destinations: readonly DestinationDraw[]
    entries: readonly unknown[]
    virtualServices: readonly VirtualServiceDraw[]
  },
>(
  drawn: Draws,
): Draws => {
  const kind = drawn.virtualHosts[0] === undefined ? {} : kindFor(drawn.virtualHosts[0])
  return {
    ...drawn,
    plain: undefined,
    entries: [],
    virtualHosts: drawn.virtualHosts.map((draw, index) =>
      withPorts(draw, kind, firstPortOfVirtualHosts + index * step),
    ),
    destinations: drawn.destinations.map((draw, index) => ({
      ...withPorts(draw, kind, firstPortOfDestinations + index * step),
      kind: 'workload',
    })),
    virtualServices: drawn.virtualServices.map(regularRoutes),
  }
}

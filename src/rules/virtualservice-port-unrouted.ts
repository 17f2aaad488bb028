import { sameName } from '../api/metadata.ts'
import type { VirtualService } from '../api/virtual-service.ts'
import { isOnMesh } from '../istio/client.ts'
import { type Emission, isBroken } from '../istio/emission.ts'
import { isVisible } from '../istio/visibility.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'
import { virtualHostBy } from './virtual-host.ts'

/** What another rule tells: the ports on which it leaves callers without a route need no second finding. */
const isToldOtherwise = ({ routes, delegations }: Emission): boolean =>
  delegations.length > 0 ||
  routes.some(isBroken) ||
  (routes.length > 0 && routes.every(({ dropped }) => dropped === 'gateway'))

const hasRouteFor = (port: number, { routes }: VirtualService): boolean =>
  routes.some(({ matches }) => matches.length === 0 || matches.some((match) => (match.port ?? port) === port))

export const virtualServicePortUnrouted: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-port-unrouted',
  kinds: ['advice'],
  defaults: { virtualHost: 'warn', other: 'off' },
  finds: 'A port of the virtual host is served by no route.',
  why:
    'Where no route is emitted for a port of a virtual host, its callers reach the virtual host’s own cluster, behind which there is ' +
    'nothing: 503. It is not said of ports that another VirtualService serves, nor of those whose routes are meant for other callers.',
  check: ({ virtualService, emission, view, policy }) => {
    const { routes, client } = emission
    if (isToldOtherwise(emission)) return []
    const routed = new Set([...new Set(routes.map(({ ports }) => ports))].flatMap((ports) => [...ports]))
    // What carries no protocol, such as UDP or a port that Istio keeps for itself, no route could serve.
    const carrying = new Set(Object.values(emission.ports).flat())
    // Whoever keeps a route for some callers means to keep others out.
    const kept = new Set(routes.flatMap(({ match, dropped }) => (dropped === 'source' ? [match?.port] : [])))
    const isKept = (port: number) => kept.has(undefined) || kept.has(port)
    return emission.targets.flatMap((target) => {
      const open = target.ports.filter(({ number }) => carrying.has(number) && !routed.has(number) && !isKept(number))
      const { service } = target
      if (open.length === 0 || service === undefined || virtualHostBy(service, view, policy) === undefined) return []
      const others = view
        .virtualServices(target.host)
        .filter((other) => !sameName(other, virtualService) && isOnMesh(other) && isVisible(client.namespace, other))
      const left = open.filter(({ number }) => !others.some((other) => hasRouteFor(number, other)))
      return left.map(({ number }) => ({
        field: 'spec',
        about: `${target.host}:${number}`,
        mismatch: true as const,
        problem: `no route serves port ${number} of Service ${target.namespace}/${target.name}`,
        reason: "its callers reach the virtual host's own empty cluster, 503",
        fix: `add a route with match.port ${number}, or take the port off the Service`,
      }))
    })
  },
}

import type { RouteEmission } from '../istio/emission.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'
import { virtualHostBy } from './virtual-host.ts'

/** What another rule tells: the ports on which it leaves callers without a route need no second finding. */
const isToldOtherwise = (routes: readonly RouteEmission[]): boolean =>
  routes.some(({ dropped }) => dropped === 'port' || dropped === 'class') ||
  (routes.length > 0 && routes.every(({ dropped }) => dropped === 'gateway'))

export const virtualServicePortUnrouted: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-port-unrouted',
  kinds: ['advice'],
  defaults: { virtualHost: 'warn', other: 'off' },
  finds: 'A port of the virtual host is served by no route.',
  why:
    'Where no route is emitted for a port of a virtual host, its callers reach the virtual host’s own cluster, behind which there is ' +
    'nothing: 503. It is not said of ports that another VirtualService serves, nor of those whose routes are meant for other callers.',
  check: ({ emission, view, policy }) => {
    const { routes } = emission
    if (isToldOtherwise(routes)) return []
    const routed = new Set([...new Set(routes.map(({ ports }) => ports))].flatMap((ports) => [...ports]))
    // What carries no protocol, such as UDP or a port that Istio keeps for itself, no route could serve.
    const carrying = new Set(Object.values(emission.ports).flat())
    const taken = new Map(
      [...Map.groupBy(emission.taken, ({ host }) => host)].map(([host, some]) => [
        host,
        new Set(some.flatMap(({ ports }) => ports)),
      ]),
    )
    // Whoever keeps a route for some callers means to keep others out.
    const kept = new Set(routes.flatMap(({ match, dropped }) => (dropped === 'source' ? [match?.port] : [])))
    const isKept = (port: number) => kept.has(undefined) || kept.has(port)
    return emission.targets.flatMap((target) => {
      const left = target.ports.filter(
        ({ number }) =>
          carrying.has(number) && !routed.has(number) && !isKept(number) && !taken.get(target.host)?.has(number),
      )
      const { service } = target
      if (left.length === 0 || service === undefined || virtualHostBy(service, view, policy) === undefined) return []
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

import { protocolsOf } from '../istio/emission.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'
import { virtualHostBy } from './virtual-host.ts'

export const virtualServicePortUnrouted: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-port-unrouted',
  kinds: ['advice'],
  defaults: { virtualHost: 'warn', other: 'off' },
  finds: 'A port of the virtual host is served by no route.',
  why:
    'Where no route is emitted for a port of a virtual host, its callers reach the virtual host’s own cluster, behind which there is ' +
    'nothing: 503. Another VirtualService may serve it, which then comes first or waits.',
  check: ({ emission, view, policy }) => {
    const routed = new Set([...new Set(emission.routes.map(({ ports }) => ports))].flatMap((ports) => [...ports]))
    const taken = new Map(
      [...Map.groupBy(emission.taken, ({ host }) => host)].map(([host, some]) => [
        host,
        new Set(some.flatMap(({ ports }) => ports)),
      ]),
    )
    return emission.targets.flatMap((target) => {
      const left = target.ports.filter(
        ({ number, class: portClass }) =>
          protocolsOf[portClass].length > 0 && !routed.has(number) && !taken.get(target.host)?.has(number),
      )
      // A port on which something else is wrong is told by that.
      const isWrong = emission.routes.some(({ dropped }) => dropped === 'port' || dropped === 'class')
      const { service } = target
      if (left.length === 0 || isWrong || service === undefined) return []
      if (virtualHostBy(service, view, policy) === undefined) return []
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

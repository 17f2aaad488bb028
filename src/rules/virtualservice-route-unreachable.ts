import type { Match } from '../api/virtual-service.ts'
import type { RouteEmission } from '../istio/emission.ts'
import type { RuleFinding } from './finding.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'

/** What decides which requests a match takes: equal texts take the same, the first of them on all the ports that later ones have. */
const takes = ({ route: { protocol } }: RouteEmission, match: Match): string =>
  JSON.stringify([protocol, match.port, match.conditions, match.sourceNamespace, [...match.sourceLabels].sort()])

export const virtualServiceRouteUnreachable: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-route-unreachable',
  kinds: ['advice'],
  defaults: { virtualHost: 'warn', other: 'warn' },
  finds: 'A route comes after one that takes every request, or repeats an earlier match.',
  why:
    'The first route that fits takes the request. Istio does not even give sidecars what comes after a match of every request, and of two ' +
    'equal matches the second one never gets any.',
  check: ({ emission }) => {
    const seen = new Set<string>()
    return emission.routes.flatMap((emitted): RuleFinding[] => {
      const { route, match, dropped } = emitted
      const common = {
        field: match?.field ?? route.field,
        about: route.name || (match?.conditions ?? 'any'),
        reason: 'it never gets a request',
      }
      if (dropped === 'shadowed') {
        return [
          {
            ...common,
            problem: 'an earlier route takes everything that this one could get',
            fix: 'put it before that one, or leave it out',
          },
        ]
      }
      if (dropped !== undefined || match === undefined || route.protocol === 'tls') return []
      const key = takes(emitted, match)
      if (!seen.has(key)) {
        seen.add(key)
        return []
      }
      return [{ ...common, problem: 'an earlier match is the same', fix: 'leave it out, or make it differ' }]
    })
  },
}

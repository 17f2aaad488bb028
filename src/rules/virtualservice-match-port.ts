import type { RuleFinding } from './finding.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'
import { hasUnknownPorts, listed, mayBeGateways } from './wording.ts'

export const virtualServiceMatchPort: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-match-port',
  kinds: ['broken'],
  defaults: { virtualHost: 'deny', other: 'deny' },
  finds: 'A match names a port that no host of the VirtualService has.',
  why:
    'A sidecar has one listener for each port that Services have, and a match with a port is left out of all others. Where no host ' +
    'has that port the match is nowhere: its requests fall to a later route, or to the virtual host’s own empty cluster, 503.',
  check: ({ emission }) => {
    if (hasUnknownPorts(emission)) return []
    const has80 = emission.targets.some(({ ports }) =>
      ports.some(({ number, class: one }) => number === 80 && one !== 'UDP'),
    )
    return emission.routes.flatMap(({ route, match, dropped }): RuleFinding[] => {
      if (match?.port === undefined) return []
      const isStray = match.port === 80 && dropped === undefined && !has80
      if (!isStray && (dropped !== 'port' || mayBeGateways(emission, match))) return []
      const has = listed(emission.ports[route.protocol]) || `they have none for ${route.protocol}`
      const common = {
        field: `${match.field}.port`,
        about: String(match.port),
        problem: `no host has port ${match.port}`,
        fix: `write a port of the hosts (${has}), or leave it out to match them all`,
      }
      return [
        isStray
          ? {
              ...common,
              reason: 'sidecars have this match only while some other Service of the mesh has an HTTP port 80',
              atMost: 'warn',
            }
          : {
              ...common,
              mismatch: true,
              reason: 'no sidecar is given this match, and its requests are not routed',
            },
      ]
    })
  },
}

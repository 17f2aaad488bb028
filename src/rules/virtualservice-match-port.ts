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
      if (match?.port === 80 && dropped === undefined && !has80) {
        return [
          {
            field: `${match.field}.port`,
            about: '80',
            mismatch: true,
            problem: 'no host has port 80',
            reason: 'sidecars have this match only while some other Service of the mesh has an HTTP port 80',
            fix: `write a port of the hosts (${listed(emission.ports[route.protocol]) || `they have none for ${route.protocol}`}), or leave it out to match them all`,
            atMost: 'warn',
          },
        ]
      }
      if (dropped !== 'port' || match?.port === undefined) return []
      if (mayBeGateways(emission, match)) return []
      return [
        {
          field: `${match.field}.port`,
          about: String(match.port),
          mismatch: true,
          problem: `no host has port ${match.port}`,
          reason: 'no sidecar is given this match, and its requests are not routed',
          fix: `write a port of the hosts (${listed(emission.ports[route.protocol]) || `they have none for ${route.protocol}`}), or leave it out to match them all`,
        },
      ]
    })
  },
}

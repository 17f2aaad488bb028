import type { RuleFinding } from './finding.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'
import { hasUnknownPorts, listed, mayBeGateways } from './wording.ts'

export const virtualServiceMatchPort: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-match-port',
  kinds: ['broken'],
  defaults: { virtualHost: 'deny', other: 'deny' },
  finds: 'A match names a port that no host of the VirtualService has, or one of a host that sidecars use themselves.',
  why:
    'A sidecar has one listener for each port that Services have, and a match with a port is left out of all others. Where no host ' +
    'has that port the match is nowhere: its requests fall to a later route, or to the virtual host’s own empty cluster, 503. Of HTTP ' +
    'ports 15001, 15006, 15021 and 15090 Istio makes no listener, since these are the sidecar’s own.',
  check: ({ emission }) => {
    if (hasUnknownPorts(emission)) return []
    const has80 = emission.targets.some(({ ports }) =>
      ports.some(({ number, class: one }) => number === 80 && one !== 'UDP'),
    )
    return emission.routes.flatMap(({ route, match, dropped }): RuleFinding[] => {
      if (match?.port === undefined) return []
      const isStray = match.port === 80 && dropped === undefined && !has80
      const isNowhere = (dropped === 'port' || dropped === 'reserved') && !mayBeGateways(emission, match)
      if (!isStray && !isNowhere) return []
      const has = listed(emission.ports[route.protocol]) || `they have none for ${route.protocol}`
      const common = { field: `${match.field}.port`, about: String(match.port) }
      const absent = {
        ...common,
        problem: `no host has port ${match.port}`,
        fix: `write a port of the hosts (${has}), or leave it out to match them all`,
      }
      const reason = 'no sidecar is given this match, and its requests are not routed'
      if (isStray)
        return [
          {
            ...absent,
            reason: 'sidecars have this match only while some other Service of the mesh has an HTTP port 80',
            atMost: 'warn',
          },
        ]
      if (dropped === 'port') return [{ ...absent, mismatch: true, reason }]
      const [owner, ...others] = emission.targets.filter(({ ports }) =>
        ports.some(({ number }) => number === match.port),
      )
      return [
        {
          ...common,
          mismatch: true,
          problem: `port ${match.port} is one that sidecars use themselves`,
          reason: `Istio makes no HTTP listener of it: ${reason}`,
          fix: `give ${others.length > 0 ? 'its hosts' : owner?.host} another port, and write that one here`,
        },
      ]
    })
  },
}

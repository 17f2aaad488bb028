import { formatName } from '../api/metadata.ts'
import type { Emission, Taken } from '../istio/emission.ts'
import { hostsOf } from '../istio/hosts.ts'
import type { RuleFinding } from './finding.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'
import { listed } from './wording.ts'

/** The ports that another took and a route here is for. */
const contested = ({ routes }: Emission, { protocol, ports }: Taken): number[] => {
  const wanted = new Set(
    routes.flatMap(({ route, match, dropped }) =>
      route.protocol === protocol && dropped !== 'gateway' && dropped !== 'source' ? [match?.port] : [],
    ),
  )
  return ports.filter((port) => wanted.has(undefined) || wanted.has(port))
}

export const virtualServiceHostDuplicate: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-host-duplicate',
  kinds: ['broken'],
  defaults: { virtualHost: 'deny', other: 'deny' },
  finds: 'Another VirtualService that the same sidecars see serves a host on the same port and protocol first.',
  why:
    'For sidecars Istio merges no VirtualServices. Of two for one host and port the one that is exported to the client’s namespace ' +
    'alone comes first, then the older one, and a host in full before any wildcard over it; the routes of the other are given to ' +
    'nobody. In the same namespace it is a warning, since a VirtualService that is renamed has both names for a moment.',
  check: ({ virtualService, emission, policy }) => {
    const { namespace } = virtualService
    const listedHosts = new Set(hostsOf(virtualService, policy).map((host) => host.toLowerCase()))
    return emission.taken.flatMap((taken): RuleFinding[] => {
      const { host, protocol, by } = taken
      const ports = contested(emission, taken)
      // A wildcard is for what nobody serves by its name: it is wrong only where a route is left without any host.
      const isListed = listedHosts.has(host.toLowerCase())
      const isLost = emission.routes.some(({ route, dropped }) => route.protocol === protocol && dropped === 'taken')
      if (ports.length === 0 || !(isListed || isLost)) return []
      return [
        {
          field: 'spec.hosts',
          about: `${host} ${protocol}`,
          mismatch: true,
          problem: `VirtualService ${formatName(by)} serves ${host} first (${protocol}, port ${listed(ports)})`,
          reason: 'Istio merges none for sidecars, and what these routes say of that host is given to nobody',
          fix: `put the routes into ${formatName(by)}, or take the host out of one of the two`,
          ...(by.namespace === namespace || !isListed ? { atMost: 'warn' } : {}),
        },
      ]
    })
  },
}

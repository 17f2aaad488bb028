import { formatName } from '../api/metadata.ts'
import { parseServiceHost } from '../istio/hosts.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'
import { unreachable } from './wording.ts'

export const virtualServiceDestinationUnknown: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-destination-unknown',
  kinds: ['broken'],
  defaults: { virtualHost: 'deny', other: 'warn' },
  finds: 'There is no Service, and no ServiceEntry, of the name that a destination gives.',
  why:
    'Istio never checks that a destination exists. The route is emitted with the name of a cluster that does not, and every request ' +
    'that takes it gets 503.',
  check: ({ emission, policy }) =>
    emission.destinations.flatMap((destination) => {
      if (destination.kind !== 'missing') return []
      const { host } = destination.destination
      const service = parseServiceHost(destination.host, policy.clusterDomain)
      return [
        {
          field: `${destination.destination.field}.host`,
          about: destination.host,
          problem:
            service === undefined
              ? `no Service and no ServiceEntry has the host "${host}"`
              : `there is no Service ${formatName(service)}`,
          reason: unreachable(destination.destination),
          fix: `create the ${service === undefined ? 'ServiceEntry' : 'Service'} first, or correct the name`,
          missing: true as const,
        },
      ]
    }),
}

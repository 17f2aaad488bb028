import { formatName } from '../api/metadata.ts'
import { parseServiceHost } from '../istio/hosts.ts'
import type { RuleFinding } from './finding.ts'
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
    emission.destinations.flatMap((destination): RuleFinding[] => {
      const { field, host } = destination.destination
      if (destination.kind === 'hidden') {
        return [
          {
            field: `${field}.host`,
            about: destination.host,
            problem: `"${host}" is not exported to the namespace of the caller`,
            reason: unreachable(destination.destination),
            fix: 'add the namespace to its exportTo (of a Service: annotation networking.istio.io/exportTo)',
            mismatch: true,
          },
        ]
      }
      if (destination.kind !== 'missing') return []
      if (destination.alias !== undefined) {
        return [
          {
            field: `${field}.host`,
            about: destination.host,
            problem: `"${host}" stands for ${destination.alias}, which no Service and no ServiceEntry has`,
            reason: unreachable(destination.destination),
            fix: `create a ServiceEntry for ${destination.alias} first, or lead there without the ExternalName Service`,
            missing: true,
          },
        ]
      }
      const service = parseServiceHost(destination.host, policy.clusterDomain)
      return [
        {
          field: `${field}.host`,
          about: destination.host,
          problem:
            service === undefined
              ? `no Service and no ServiceEntry has the host "${host}"`
              : `there is no Service ${formatName(service)}`,
          reason: unreachable(destination.destination),
          fix: `create the ${service === undefined ? 'ServiceEntry' : 'Service'} first, or correct the name`,
          missing: true,
        },
      ]
    }),
}

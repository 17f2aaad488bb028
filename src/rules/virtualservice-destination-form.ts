import { serviceHost } from '../istio/hosts.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'
import { unreachable } from './wording.ts'

export const virtualServiceDestinationForm: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-destination-form',
  kinds: ['broken'],
  defaults: { virtualHost: 'deny', other: 'deny' },
  finds:
    'A destination looks like a Service, but Istio does not read it so: `svc.ns`, `svc.ns.svc`, a trailing dot, upper case.',
  why:
    'Istio expands a destination without any dot by the namespace of the VirtualService, and takes every other one literally, upper ' +
    'case included. The cluster of that literal name does not exist, and callers get 503.',
  check: ({ emission, policy }) =>
    emission.destinations.flatMap((destination) =>
      destination.kind !== 'form'
        ? []
        : [
            {
              field: `${destination.destination.field}.host`,
              about: destination.destination.host,
              problem: `destination "${destination.destination.host}" names no Service to Istio`,
              reason: `it is read literally: ${unreachable(destination.destination)}`,
              fix: `write ${serviceHost(destination.means, policy.clusterDomain)}`,
            },
          ],
    ),
}

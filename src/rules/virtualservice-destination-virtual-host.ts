import { formatName } from '../api/metadata.ts'
import type { RuleFinding } from './finding.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'
import { virtualHostBy } from './virtual-host.ts'
import { unreachable } from './wording.ts'

export const virtualServiceDestinationVirtualHost: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-destination-virtual-host',
  kinds: ['broken'],
  defaults: { virtualHost: 'deny', other: 'deny' },
  finds: 'A destination is a virtual host itself: VirtualServices do not chain.',
  why:
    'A route leads to the cluster of its destination, and what VirtualServices say of that host is not asked again. Behind a virtual host ' +
    'there is nothing but routes: its own cluster is empty, and callers get 503.',
  check: ({ emission, view, policy }) =>
    emission.destinations.flatMap(({ kind, destination, target }): RuleFinding[] => {
      if (kind !== 'exists' || target?.service === undefined) return []
      const { service } = target
      // One by label alone may have endpoints all the same, and works.
      if (service.hasSelector || virtualHostBy(service, view, policy) === undefined) return []
      if (view.endpointSlices(service).some(({ isReady }) => isReady)) return []
      return [
        {
          field: `${destination.field}.host`,
          about: target.host,
          mismatch: true,
          problem: `destination "${destination.host}" is virtual host ${formatName(target)}`,
          reason: unreachable(destination, 'is empty'),
          fix: 'lead to the Services to which it routes',
        },
      ]
    }),
}

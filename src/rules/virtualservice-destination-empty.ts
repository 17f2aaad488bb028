import { formatName } from '../api/metadata.ts'
import type { RuleFinding } from './finding.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'

export const virtualServiceDestinationEmpty: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-destination-empty',
  kinds: ['advice'],
  defaults: { virtualHost: 'warn', other: 'off' },
  finds: 'Behind a destination there is no endpoint that is ready.',
  why:
    'The cluster exists, and is empty: callers get 503 until a Pod that the Service selects is ready. It is a warning, since Pods may just ' +
    'be starting.',
  check: ({ emission, view }) => {
    const seen = new Set<string>()
    return emission.destinations.flatMap(({ kind, destination, target }): RuleFinding[] => {
      if (kind !== 'exists' || target?.service === undefined) return []
      const { service } = target
      if (!service.hasSelector || seen.has(target.host)) return []
      seen.add(target.host)
      const slices = view.endpointSlices(service)
      // Kubernetes makes one, an empty one if need be: without any nobody has looked yet, as in manifests.
      if (slices.length === 0 || slices.some(({ isReady }) => isReady)) return []
      return [
        {
          field: `${destination.field}.host`,
          about: target.host,
          problem: `no endpoint of Service ${formatName(service)} is ready`,
          reason: `${destination.isMirror ? 'the copies are lost' : 'callers get 503'} until there is one`,
          fix: "start the Pods, or compare the Service's selector with their labels",
        },
      ]
    })
  },
}

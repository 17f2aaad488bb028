import type { RuleFinding } from './finding.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'
import { unreachable } from './wording.ts'

export const virtualServiceSubsetUnknown: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-subset-unknown',
  kinds: ['broken'],
  defaults: { virtualHost: 'deny', other: 'warn' },
  finds: 'The DestinationRule that Istio selects for a destination does not have its subset.',
  why:
    'A subset has a cluster of its own only where a DestinationRule defines it. Of several, Istio takes those of the client’s namespace, ' +
    'else those that the Service’s namespace exports, else those of the root namespace, and the ones for the host in full hide those ' +
    'for a wildcard. Without the subset callers get 503.',
  check: ({ emission }) =>
    emission.destinations.flatMap((emitted): RuleFinding[] => {
      if (emitted.kind !== 'subset') return []
      const { destination, host, subset, subsets, reachable } = emitted
      const has = subsets.length === 0 ? 'none defines any' : `there are ${[...subsets].sort().join(', ')}`
      if (reachable) {
        return [
          {
            field: `${destination.field}.subset`,
            about: `${host} ${subset}`,
            problem: `not all Pods have subset ${subset} of "${destination.host}", since a DestinationRule is for some of them only`,
            reason: `where a workloadSelector makes the difference, ${unreachable(destination)}`,
            fix: 'define the subset in each of the DestinationRules for that host',
            atMost: 'warn',
          },
        ]
      }
      return [
        {
          field: `${destination.field}.subset`,
          about: `${host} ${subset}`,
          missing: true,
          problem: `no DestinationRule for "${destination.host}" defines subset ${subset}`,
          reason: unreachable(destination),
          fix: `add it to the DestinationRule (${has}), or leave the subset out`,
        },
      ]
    }),
}

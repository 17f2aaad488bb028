import { formatName } from '../api/metadata.ts'
import type { RuleFinding } from './finding.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'

export const virtualServiceDelegateUnknown: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-delegate-unknown',
  kinds: ['broken'],
  defaults: { virtualHost: 'warn', other: 'warn' },
  finds: 'A delegate is not there, is not exported to the namespace of its root, or has hosts of its own.',
  why:
    'Istio puts the routes of a delegate in the place of the route that names it. Where it finds none, or one with hosts, which is no ' +
    'delegate, it leaves that route out, and its requests fall to a later route or get 404.',
  check: ({ virtualService, emission }) =>
    emission.delegations.flatMap(({ field, delegate, kind }): RuleFinding[] => {
      if (kind === 'conflict') return []
      const name = formatName(delegate)
      const common = {
        field: `${field}.delegate`,
        about: name,
        reason: 'the route that names it is given to nobody, and its requests fall to a later one or get 404',
      }
      const { namespace } = virtualService
      if (kind === 'missing') {
        return [
          {
            ...common,
            missing: true,
            problem: `there is no VirtualService ${name}`,
            fix: 'create it first, or correct the name',
          },
        ]
      }
      return kind === 'hidden'
        ? [
            {
              ...common,
              mismatch: true,
              problem: `VirtualService ${name} is not exported to namespace ${namespace}`,
              fix: `add ${namespace} to its exportTo`,
            },
          ]
        : [
            {
              ...common,
              mismatch: true,
              problem: `VirtualService ${name} has hosts of its own`,
              fix: 'take the hosts out of it: a delegate has none',
            },
          ]
    }),
}

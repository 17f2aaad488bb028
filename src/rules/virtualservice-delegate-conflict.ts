import { formatName } from '../api/metadata.ts'
import { fieldInRoot } from '../istio/delegates.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'

export const virtualServiceDelegateConflict: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-delegate-conflict',
  kinds: ['broken'],
  defaults: { virtualHost: 'warn', other: 'warn' },
  finds: 'The matches of a delegate contradict those of its root.',
  why:
    'A delegate can only narrow what its root takes in: each of its matches must lie within one of the root’s. Istio leaves out the ' +
    'routes of which a match does not, for example another port, or a path that is not under the root’s prefix.',
  check: ({ emission }) =>
    emission.delegations.flatMap((delegation) => {
      if (delegation.kind !== 'conflict') return []
      const { field, delegate, routes } = delegation
      return routes.map((route) => ({
        field: fieldInRoot(field, delegate, `${route}.match`),
        about: `${formatName(delegate)} ${route}`,
        mismatch: true as const,
        problem: `the match of this route contradicts ${field}.match`,
        reason: 'Istio leaves the route out, and its requests fall to a later one or get 404',
        fix: "keep each match within one of the root's: its port, a path under its own",
      }))
    }),
}

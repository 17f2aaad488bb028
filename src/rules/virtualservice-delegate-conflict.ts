import { formatName } from '../api/metadata.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'

/** How many routes a message names. */
const maxRoutes = 3

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
      const more = routes.length > maxRoutes ? ', ...' : ''
      return [
        {
          field: `${field}.delegate`,
          about: formatName(delegate),
          mismatch: true as const,
          problem: `the matches of ${routes.slice(0, maxRoutes).join(', ')}${more} in VirtualService ${formatName(delegate)} contradict the root's`,
          reason: 'Istio leaves these routes out, and their requests fall to a later one or get 404',
          fix: "let each match of the delegate lie within a match of the root: the same port, a path under the root's",
        },
      ]
    }),
}

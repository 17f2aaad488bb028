import { isAmbient } from '../istio/injection.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'

export const virtualServiceAmbient: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-ambient',
  kinds: ['advice'],
  defaults: { virtualHost: 'warn', other: 'warn' },
  finds: 'The namespace is in ambient mode, where VirtualServices work in another way.',
  why:
    'Without sidecars there is nobody to give routes to but a waypoint proxy. It serves the Services that are enrolled to it by ' +
    '`istio.io/use-waypoint`, takes VirtualServices of the Service’s namespace only, merges all of one host, and reads over sourceLabels. ' +
    'What the other rules say is about clients with sidecars.',
  check: ({ virtualService: { namespace }, view }) =>
    isAmbient(view.namespace(namespace)?.labels ?? new Map())
      ? [
          {
            field: 'metadata.namespace',
            about: namespace,
            problem: `namespace ${namespace} is in ambient mode`,
            reason:
              'there VirtualServices work at a waypoint only, for Services that are enrolled to it; the checks are for clients with sidecars',
            fix: 'enrol the Service by istio.io/use-waypoint, or write an HTTPRoute with the Service as its parent',
          },
        ]
      : [],
}

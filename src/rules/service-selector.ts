import type { Rule, ServiceSubject } from './rule.ts'
import { withoutLabel } from './wording.ts'

export const serviceSelector: Rule<ServiceSubject> = {
  id: 'service-selector',
  kinds: ['convention'],
  defaults: { virtualHost: 'deny', other: 'off' },
  finds: 'A Service that is labelled as a virtual host has a selector.',
  why:
    'A virtual host has nothing but routes. Where a sidecar has no routes for a port, it sends what comes to the Service’s own pods: ' +
    'with a selector a mistake in the VirtualService goes unnoticed, and requests end in the wrong place instead of with an error.',
  check: ({ service: { hasSelector }, isVirtualHost }) =>
    isVirtualHost && hasSelector
      ? [
          {
            field: 'spec.selector',
            about: 'selector',
            problem: 'a Service with a selector is not for virtual hosts',
            reason: 'where its routes fail, requests reach the pods that it selects, and nobody notices',
            fix: `give the selector to a Service of its own and route to that${withoutLabel}`,
          },
        ]
      : [],
}

import { isHeadless } from '../api/service.ts'
import type { Rule, ServiceSubject } from './rule.ts'
import { withoutLabel } from './wording.ts'

export const serviceHeadless: Rule<ServiceSubject> = {
  id: 'service-headless',
  kinds: ['convention'],
  defaults: { virtualHost: 'deny', other: 'off' },
  finds: 'A Service that is labelled as a virtual host is headless.',
  why:
    'Callers look the name of a virtual host up, and their sidecars route what they send to its ClusterIP. A headless Service has ' +
    'none: DNS answers with its endpoints, of which a virtual host has none either. The API server does not change ' +
    '`clusterIP: None` of a Service that is there: it has to be deleted and made anew.',
  check: ({ service, isVirtualHost }) =>
    isVirtualHost && isHeadless(service)
      ? [
          {
            field: 'spec.clusterIP',
            about: 'None',
            problem: 'a headless Service is not for virtual hosts',
            reason: 'it has no ClusterIP, and callers cannot resolve its name',
            fix: `make it anew without clusterIP: None${withoutLabel}`,
          },
        ]
      : [],
}

import type { Rule, ServiceSubject } from './rule.ts'
import { withoutLabel } from './wording.ts'

export const serviceType: Rule<ServiceSubject> = {
  id: 'service-type',
  kinds: ['convention'],
  defaults: { virtualHost: 'deny', other: 'off' },
  finds: 'A Service that is labelled as a virtual host is of another type than ClusterIP.',
  why:
    'A virtual host is a name with a ClusterIP, which callers in the mesh reach through the routes in their sidecars. NodePort and ' +
    'LoadBalancer open it to callers without sidecar, for whom nothing stands behind it, and an ExternalName has no ClusterIP: DNS ' +
    'answers with the name of another host.',
  check: ({ service: { type }, isVirtualHost }) =>
    !isVirtualHost || type === 'ClusterIP'
      ? []
      : [
          {
            field: 'spec.type',
            about: type,
            problem: `type ${type} is not for virtual hosts`,
            reason:
              type === 'ExternalName'
                ? 'it has no ClusterIP, and DNS answers with the name of another host'
                : 'it lets in callers without sidecar, for whom nothing stands behind it',
            fix: `make it type: ClusterIP${withoutLabel}`,
          },
        ],
}

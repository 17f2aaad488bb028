import { formatName } from '../api/metadata.ts'
import { isWildcard } from '../istio/hosts.ts'
import type { RuleFinding } from './finding.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'

export const virtualServiceHostUnknown: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-host-unknown',
  kinds: ['broken'],
  defaults: { virtualHost: 'deny', other: 'warn' },
  finds: 'There is no Service of the name that a host gives.',
  why:
    'Off port 80 a sidecar is given routes only for hosts that Istio’s registry has: Services and the hosts of ServiceEntries. A ' +
    'VirtualService for any other host waits silently. Callers of a name in the cluster’s domain get an error from DNS. A host ' +
    'outside it is only a warning, since the name may resolve and be routed elsewhere.',
  check: ({ emission, policy }) =>
    emission.hosts.flatMap((host): RuleFinding[] => {
      if (host.kind === 'missing') {
        const common = { field: host.field, about: host.host.toLowerCase() }
        return [
          host.service === undefined
            ? {
                ...common,
                problem: `host "${host.host}" is no name that a Service can have, and no ServiceEntry has it`,
                reason: 'nothing is emitted for it',
                fix: `create a ServiceEntry for it first, or write <service>.<namespace>.svc.${policy.clusterDomain}`,
                missing: true,
              }
            : {
                ...common,
                problem: `there is no Service ${formatName(host.service)}`,
                reason: 'nothing is emitted for a host without Service, and callers cannot resolve it',
                fix: 'create the Service first, or correct the name',
                missing: true,
              },
        ]
      }
      if (host.kind === 'hidden') {
        return [
          {
            field: host.field,
            about: host.host.toLowerCase(),
            problem: `host "${host.host}" is not exported to the namespace of the caller`,
            reason: 'sidecars there do not know it, and are given no route for it',
            fix: 'add the namespace to its exportTo (of a Service: annotation networking.istio.io/exportTo)',
            mismatch: true,
          },
        ]
      }
      // Where other gateways are listed, the host may be theirs.
      if (host.kind !== 'foreign' || emission.otherGateways.length > 0) return []
      return [
        {
          field: host.field,
          about: host.host.toLowerCase(),
          problem: isWildcard(host.host)
            ? `nothing in the mesh lies under host "${host.host}"`
            : `no ServiceEntry has the host "${host.host}"`,
          reason: 'off port 80 sidecars are given no route for it',
          fix: 'create a ServiceEntry for it, or correct the name',
          atMost: 'warn',
        },
      ]
    }),
}

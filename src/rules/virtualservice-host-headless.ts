import { isWildcard } from '../istio/hosts.ts'
import { aliasOf, isWithoutAddress } from '../istio/registry.ts'
import type { RuleFinding } from './finding.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'

export const virtualServiceHostHeadless: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-host-headless',
  kinds: ['broken'],
  defaults: { virtualHost: 'deny', other: 'off' },
  finds: 'The Service of a host has no ClusterIP by which callers could reach it.',
  why:
    'Callers look the host up in DNS before their sidecar routes anything. A headless Service is answered with the addresses of its Pods, ' +
    'of which a virtual host has none, and an ExternalName Service with another name, which may not resolve either: that is a warning. ' +
    'Nothing is said of Services with a selector or with endpoints that are ready, nor of wildcards.',
  check: ({ emission, view }) =>
    emission.hosts.flatMap((host): RuleFinding[] => {
      const [target] = host.kind === 'resolved' && !isWildcard(host.host) ? host.targets : []
      if (target?.service === undefined || !isWithoutAddress(target)) return []
      const { service } = target
      if (service.hasSelector || view.endpointSlices(service).some(({ isReady }) => isReady)) return []
      return [
        {
          field: host.field,
          about: target.host,
          mismatch: true,
          problem: `Service ${target.namespace}/${target.name} has no ClusterIP`,
          reason: 'callers cannot resolve the host to an address that sidecars route',
          fix: 'make the Service anew as type ClusterIP, without clusterIP: None',
          ...(aliasOf(target) === undefined ? {} : { atMost: 'warn' }),
        },
      ]
    }),
}

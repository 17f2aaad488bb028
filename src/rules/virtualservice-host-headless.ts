import { isWithoutAddress } from '../istio/registry.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'

export const virtualServiceHostHeadless: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-host-headless',
  kinds: ['broken'],
  defaults: { virtualHost: 'deny', other: 'off' },
  finds: 'The Service of a host has no ClusterIP by which callers could reach it.',
  why:
    'Callers look the host up in DNS before their sidecar routes anything. A headless Service is answered with the addresses of its Pods, ' +
    'of which a virtual host has none, and an ExternalName Service with another name: the request never has the address for which ' +
    'the routes are.',
  check: ({ emission }) =>
    emission.hosts.flatMap((host) => {
      const target = host.kind === 'resolved' ? host.targets.find((one) => isWithoutAddress(one)) : undefined
      if (target?.service === undefined || target.service.hasSelector) return []
      return [
        {
          field: host.field,
          about: target.host,
          mismatch: true as const,
          problem: `Service ${target.namespace}/${target.name} has no ClusterIP`,
          reason: 'callers cannot resolve the host to an address that sidecars route',
          fix: 'make the Service anew as type ClusterIP, without clusterIP: None',
        },
      ]
    }),
}

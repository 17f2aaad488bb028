import type { Rule, ServiceSubject } from './rule.ts'

export const serviceReservedPort: Rule<ServiceSubject> = {
  id: 'service-reserved-port',
  kinds: ['broken', 'convention'],
  defaults: { virtualHost: 'deny', other: 'warn' },
  finds: 'A port is one that the sidecar, or istiod, uses itself.',
  why:
    'Every pod of the mesh has the sidecar’s own listeners on these ports. Istio leaves HTTP listeners on 15001, 15006, 15021 ' +
    'and 15090 out without a word, so the Service cannot be reached at all; on the others the outcome depends on the mode of ' +
    'interception and on the release. The ports of istiod are a warning: they clash only where it runs.',
  check: ({ service, policy }) =>
    service.ports.flatMap(({ port }, index) => {
      const reserved = policy.reservedPorts.get(port)
      if (reserved === undefined) return []
      return [
        {
          field: `spec.ports[${index}].port`,
          about: String(port),
          problem: `port ${port} is taken by ${reserved.use}`,
          reason:
            reserved.by === 'sidecar'
              ? 'Istio makes no listener of its own there, and callers cannot connect'
              : 'it clashes wherever istiod runs',
          fix: 'use another port, such as 8080, here, in match.port and in the callers',
          ...(reserved.by === 'istiod' ? { atMost: 'warn' as const } : {}),
        },
      ]
    }),
}

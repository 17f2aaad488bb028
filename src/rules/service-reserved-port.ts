import { type ReservedPort, reservedPorts } from '../istio/ports.ts'
import { type PortClass, portClass } from '../istio/protocol.ts'
import type { Rule, ServiceSubject } from './rule.ts'

const explain = ({ by, skipsHttp }: ReservedPort, portClass: PortClass): string => {
  if (by === 'istiod') return 'it clashes wherever istiod runs'
  return skipsHttp && portClass === 'HTTP'
    ? 'Istio leaves out the listener of such an HTTP port, and callers cannot connect'
    : 'every pod of the mesh listens there itself, and what callers reach depends on mode and release'
}

/** Those that are refused; the ones of istiod are only warned of. */
const sidecarPorts = [...reservedPorts].filter(([, { by }]) => by === 'sidecar').map(([port]) => port)

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
    service.ports.flatMap((servicePort, index) => {
      const { port } = servicePort
      const reserved = policy.reservedPorts.get(port)
      if (reserved === undefined) return []
      return [
        {
          field: `spec.ports[${index}].port`,
          about: String(port),
          problem: `port ${port} is used by ${reserved.use}`,
          reason: explain(reserved, portClass(servicePort)),
          fix: 'use another port, such as 8080, here, in match.port and in the callers',
          ...(reserved.by === 'istiod' ? { atMost: 'warn' as const } : {}),
        },
      ]
    }),
  portInCEL: (port) => `${port}.port in [${sidecarPorts.join(', ')}]`,
}

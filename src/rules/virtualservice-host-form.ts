import { formatName } from '../api/metadata.ts'
import type { Emission } from '../istio/emission.ts'
import { serviceHost } from '../istio/hosts.ts'
import type { RuleFinding } from './finding.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'

/** The Services that the hosts name as Istio reads them, be they there or not. */
const namedBy = ({ hosts, targets }: Emission): Set<string> =>
  new Set([
    ...targets.flatMap(({ service }) => (service === undefined ? [] : [formatName(service)])),
    ...hosts.flatMap((host) =>
      host.kind === 'missing' && host.service !== undefined ? [formatName(host.service)] : [],
    ),
  ])

export const virtualServiceHostForm: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-host-form',
  kinds: ['broken'],
  defaults: { virtualHost: 'deny', other: 'deny' },
  finds:
    'A host looks like a Service, but Istio does not read it so: `svc.ns`, `svc.ns.svc`, a trailing dot, an IP address.',
  why:
    'Istio expands a host without any dot by the namespace of the VirtualService, and takes every other one literally. No Service ' +
    'has the literal name `svc.ns`, so nothing is emitted for it and callers get 503. It is only a warning where another host of ' +
    'the list serves the same Service, where that Service has port 80, on which sidecars are given such hosts too, where other ' +
    'gateways are listed, which may serve it, or where `svc.ns` is no Service at all and may be a host of the Internet.',
  check: ({ emission, view, policy }) => {
    // A gateway takes every host literally, and may serve it.
    const elsewhere = emission.otherGateways.length > 0
    const named = namedBy(emission)
    return emission.hosts.flatMap((host): RuleFinding[] => {
      if (host.kind !== 'form') return []
      const { means } = host
      if (means === undefined) {
        return [
          {
            field: host.field,
            about: host.host,
            problem: `host "${host.host}" is an IP address`,
            reason: 'sidecars are given no route for it',
            fix: `write the full name of a Service, <service>.<namespace>.svc.${policy.clusterDomain}`,
            ...(elsewhere ? { atMost: 'warn' } : {}),
          },
        ]
      }
      const isNamed = named.has(formatName(means))
      const service = view.service(means)
      const onPort80 = service?.ports.some(({ port }) => port === 80) ?? false
      // A name of two labels may as well be a host of the Internet, whose domain has the name of a namespace.
      const isGuess = service === undefined && host.host.split('.').length === 2
      return [
        {
          field: host.field,
          about: host.host.toLowerCase(),
          problem: `host "${host.host}" names no Service to Istio`,
          reason: isNamed
            ? 'it is read literally and does nothing; another host of the list names the Service'
            : 'it is read literally, nothing is emitted for it, and callers get 503',
          fix: isNamed ? 'leave it out' : `write ${serviceHost(means, policy.clusterDomain)}`,
          ...(isNamed || onPort80 || isGuess || elsewhere ? { atMost: 'warn' } : {}),
        },
      ]
    })
  },
}

import { formatName, sameName } from '../api/metadata.ts'
import type { Service } from '../api/service.ts'
import type { Rule, ServiceSubject } from './rule.ts'
import { virtualHostBy } from './virtual-host.ts'

/** Whether a Service is a virtual host takes reads of its endpoints, so that few are looked at, one after the other. */
const maxLooks = 3

/** Another virtual host of the namespace that has this port. What has an external IP most likely got it as one. */
const otherWith = (port: number, { service, view, policy }: ServiceSubject): Service | undefined =>
  Iterator.from(view.virtualHostCandidates(service.namespace, port))
    .filter((other) => !sameName(other, service))
    .take(maxLooks)
    .find((other) => virtualHostBy(other, view, policy) !== undefined)

export const servicePortUnique: Rule<ServiceSubject> = {
  id: 'service-port-unique',
  kinds: ['convention'],
  defaults: { virtualHost: 'warn', other: 'off' },
  finds: 'Another virtual host of the namespace has the port.',
  why:
    'Istio tells virtual hosts with one port apart by the Host header, so they work. But the runbook gives each a port of its own in ' +
    'its namespace: then a port in a log, a dashboard or a `match.port` says which virtual host it belongs to. It is a warning, since ' +
    'a virtual host that is renamed has both names for a moment.',
  check: (subject) => {
    const seen = new Set<number>()
    return subject.service.ports.flatMap(({ port }, index) => {
      // TCP and UDP may have one number.
      if (seen.has(port)) return []
      seen.add(port)
      const other = otherWith(port, subject)
      if (other === undefined) return []
      return [
        {
          field: `spec.ports[${index}].port`,
          about: String(port),
          mismatch: true as const,
          problem: `port ${port} is that of virtual host ${formatName(other)}, too`,
          reason: 'by its port nobody can tell them apart in logs and matches',
          fix: 'use another port, here, in match.port and in the callers',
        },
      ]
    })
  },
}

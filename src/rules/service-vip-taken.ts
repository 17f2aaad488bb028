import { sameName } from '../api/metadata.ts'
import { inPool } from '../vip/pools.ts'
import type { Rule, ServiceSubject } from './rule.ts'

export const serviceVipTaken: Rule<ServiceSubject> = {
  id: 'service-vip-taken',
  kinds: ['security'],
  defaults: { virtualHost: 'deny', other: 'deny' },
  finds:
    'Another Service, or a ServiceEntry, in any namespace holds an address of the pool that this Service asks for.',
  why:
    'Two names with one address: telemetry counts the traffic of one as that of the other, and traffic outside the mesh reaches ' +
    'whichever came first. An address is held by a claim (an IPAddress object), by the `externalIPs` or the load balancer of a ' +
    'Service, or by the `addresses` of a ServiceEntry, to which Istio gives addresses of 240.240.0.0/16 by itself.',
  check: ({ service, policy, view }) =>
    service.externalIPs.flatMap((address, index) => {
      if (!inPool(policy.pools, address)) return []
      const other = view
        .holders(address)
        .find((holder) => holder.service === undefined || !sameName(holder.service, service))
      if (other === undefined) return []
      return [
        {
          field: `spec.externalIPs[${index}]`,
          about: address,
          problem: `${address} belongs to ${other.text}`,
          reason: "two names with one address get each other's traffic and telemetry",
          fix: 'leave externalIPs out: a free address is written in',
        },
      ]
    }),
}

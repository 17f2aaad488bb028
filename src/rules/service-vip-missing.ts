import { canHaveAddress } from '../api/service.ts'
import { formatPools, inPool } from '../vip/pools.ts'
import type { Rule, ServiceSubject } from './rule.ts'

export const serviceVipMissing: Rule<ServiceSubject> = {
  id: 'service-vip-missing',
  kinds: ['convention'],
  defaults: { virtualHost: 'deny', other: 'off' },
  finds: 'After mutation the virtual host has no address of the pool.',
  why:
    'meshvip writes a free address into `spec.externalIPs` before this rule looks. If there is none, the mutating webhook was not ' +
    'reached, or the pool is full; what it said is among the warnings. A Service that can have none, by its type or because it is ' +
    'headless, is told so by `service-type` and `service-headless`.',
  check: ({ service, isVirtualHost, policy }) =>
    !isVirtualHost || !canHaveAddress(service) || service.externalIPs.some((address) => inPool(policy.pools, address))
      ? []
      : [
          {
            field: 'spec.externalIPs',
            about: 'address',
            fromMutation: true,
            problem: `the virtual host has no address of ${formatPools(policy.pools)}`,
            reason: 'mutation wrote none: it was not reached, could not be answered in time, or the pool is full',
            fix: 'apply it again; if that does not help, see the warnings, and kubectl get ipaddresses',
          },
        ],
}

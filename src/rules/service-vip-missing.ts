import { isHeadless, type Service } from '../api/service.ts'
import { formatPools, inPool } from '../vip/pools.ts'
import type { RuleFinding } from './finding.ts'
import type { Rule, ServiceSubject } from './rule.ts'

/** Why a Service has no address, and what helps. */
const explain = (service: Service): Pick<RuleFinding, 'reason' | 'fix' | 'fromMutation'> => {
  const shape =
    service.type === 'ClusterIP' ? (isHeadless(service) ? 'headless' : undefined) : `of type ${service.type}`
  return shape === undefined
    ? {
        fromMutation: true,
        reason: 'mutation wrote none: it was not reached, could not be answered in time, or the pool is full',
        fix: 'apply it again; if that does not help, see the warnings, and kubectl get ipaddresses',
      }
    : {
        reason: `it is ${shape}, and only a ClusterIP Service that is not headless is given one`,
        fix: 'make it a ClusterIP Service, or take the label meshvip.dev/virtual-host away',
      }
}

export const serviceVipMissing: Rule<ServiceSubject> = {
  id: 'service-vip-missing',
  kinds: ['convention'],
  defaults: { virtualHost: 'deny', other: 'off' },
  finds: 'After mutation the virtual host has no address of the pool.',
  why:
    'meshvip writes a free address into `spec.externalIPs` before this rule looks. If there is none, the mutating webhook was not ' +
    'reached, or the pool is full; what it said is among the warnings.',
  check: ({ service, policy }) =>
    service.externalIPs.some((address) => inPool(policy.pools, address))
      ? []
      : [
          {
            field: 'spec.externalIPs',
            about: 'address',
            problem: `the virtual host has no address of ${formatPools(policy.pools)}`,
            ...explain(service),
          },
        ],
}

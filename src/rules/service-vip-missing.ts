import { canHaveAddress } from '../api/service.ts'
import { missingFamilies, ownAddresses } from '../vip/families.ts'
import { formatPools, poolsFor } from '../vip/pools.ts'
import type { Rule, ServiceSubject } from './rule.ts'

export const serviceVipMissing: Rule<ServiceSubject> = {
  id: 'service-vip-missing',
  kinds: ['convention'],
  defaults: { virtualHost: 'deny', other: 'off' },
  finds:
    'After mutation the virtual host has no address of the pool, or, if it is of dual stack, not one of each family.',
  why:
    'meshvip writes a free address into `spec.externalIPs` before this rule looks. If there is none, the mutating webhook was not ' +
    'reached, or the pool is full; what it said is among the warnings. A Service that can have none, by its type or because it is ' +
    'headless, is told so by `service-type` and `service-headless`.',
  check: ({ service, isVirtualHost, policy, view }) => {
    if (!isVirtualHost || !canHaveAddress(service)) return []
    const { pools } = policy
    const usable = poolsFor(pools, service.namespace, view)
    const common = { field: 'spec.externalIPs', about: 'address', fromMutation: true as const }
    if (usable.length === 0 && ownAddresses(service.externalIPs, pools).size === 0) {
      return [
        {
          ...common,
          problem: `no pool is for namespace ${service.namespace}, so that the virtual host has no address`,
          reason: `${formatPools(pools)} are for namespaces with other labels`,
          fix: 'ask the owners of the cluster for a pool (pools, namespaceSelector)',
        },
      ]
    }
    const missing = missingFamilies(service, undefined, pools, usable)
    return missing.map((family) => ({
      ...common,
      problem: `the virtual host has no address of ${formatPools(usable.filter((pool) => pool.family === family))}`,
      reason: 'mutation wrote none: it was not reached, could not be answered in time, or the pool is full',
      fix: 'apply it again; if that does not help, see the warnings, and kubectl get ipaddresses',
    }))
  },
}

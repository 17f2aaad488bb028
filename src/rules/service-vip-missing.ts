import { inPool } from '../vip/pools.ts'
import type { Rule, ServiceSubject } from './rule.ts'

export const serviceVipMissing: Rule<ServiceSubject> = {
  id: 'service-vip-missing',
  kinds: ['convention'],
  defaults: { virtualHost: 'deny', other: 'off' },
  finds: 'After mutation the virtual host has no address of the pool, or one that is not claimed for it.',
  why:
    'meshvip writes a free address into `spec.externalIPs` before this rule looks. If there is none, the mutating webhook was not ' +
    'reached, or the pool is full; what it said is among the warnings. An address without a claim, an IPAddress object that names ' +
    'this Service, could be given to another one at the same moment.',
  check: ({ service, policy, view, claimed }) => {
    const addresses = service.externalIPs.flatMap((address, index) =>
      inPool(policy.pools, address) ? [{ address, index }] : [],
    )
    if (addresses.length === 0) {
      return [
        {
          field: 'spec.externalIPs',
          about: 'address',
          problem: `no address of ${policy.pools.map(({ cidr }) => cidr).join(', ')}`,
          reason: 'the mutating webhook was not reached, or the pool is full',
          fix: 'apply it again; if that does not help, see the warnings, and kubectl get ipaddresses',
        },
      ]
    }
    if (!claimed) return []
    return addresses.flatMap(({ address, index }) => {
      const claim = view.claim(address)
      // A claim for another is service-vip-taken's to tell.
      if (claim !== undefined) return []
      return [
        {
          field: `spec.externalIPs[${index}]`,
          about: address,
          problem: `${address} is not claimed for this Service`,
          reason:
            'the mutating webhook was not reached, and without a claim another Service may be given the same address',
          fix: 'apply it again',
        },
      ]
    })
  },
}

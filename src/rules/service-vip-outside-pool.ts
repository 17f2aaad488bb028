import { parseIPv4, rangeContains } from '../api/address.ts'
import type { Pool } from '../vip/pool.ts'
import { formatPools, inPool } from '../vip/pools.ts'
import type { Rule, ServiceSubject } from './rule.ts'

const outside = (address: string, pools: readonly Pool[]): string => {
  const number = parseIPv4(address)
  const around = pools.find(({ network, span }) => number === network || number === network + span - 1)
  return around === undefined
    ? `${address} is in no pool (${formatPools(pools)}) and not on the allow-list`
    : `${address} is the ${number === around.network ? 'network' : 'broadcast'} address of ${around.cidr}, which nobody is given`
}

export const serviceVipOutsidePool: Rule<ServiceSubject> = {
  id: 'service-vip-outside-pool',
  kinds: ['security'],
  defaults: { virtualHost: 'deny', other: 'warn' },
  finds: 'An external IP lies in no pool and is not on the allow-list.',
  why:
    'Kubernetes lets whoever may create a Service take any address as its external IP, that of another Service or of a host on the ' +
    'Internet included, and the nodes then send its traffic there (CVE-2020-8554). The addresses of virtual hosts come out of the ' +
    'pools; others the owners of the cluster allow by `allowedExternalIPs` in the configuration. The network and the broadcast ' +
    'address of a pool are not in it.',
  check: ({ service, isVirtualHost, policy }) =>
    service.externalIPs.flatMap((address, index) =>
      inPool(policy.pools, address) || policy.allowedExternalIPs.some((range) => rangeContains(range, address))
        ? []
        : [
            {
              field: `spec.externalIPs[${index}]`,
              about: address,
              problem: outside(address, policy.pools),
              reason: "an external IP takes that address's traffic, whoever's it is (CVE-2020-8554)",
              fix: isVirtualHost
                ? 'leave externalIPs out: a free address is written in'
                : 'leave it out, or have the owners of the cluster allow it (allowedExternalIPs)',
            },
          ],
    ),
}

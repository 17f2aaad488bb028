import { covers, parseAddress } from '../api/address.ts'
import { formatPools, isFor, poolOf } from '../vip/pools.ts'
import type { Rule, ServiceSubject } from './rule.ts'

/** Why an address is none that a namespace's Services may have; undefined where it is one. */
const problemOf = (text: string, { policy, service, view }: ServiceSubject): string | undefined => {
  const { pools, allowedExternalIPs } = policy
  const own = poolOf(pools, text)
  if (own !== undefined)
    return isFor(own, service.namespace, view)
      ? undefined
      : `${text} is of the pool ${own.cidr}, which is not for namespace ${service.namespace}`
  const address = parseAddress(text)
  if (address !== undefined && allowedExternalIPs.some((range) => covers(range, address))) return undefined
  const around = address === undefined ? undefined : pools.find((pool) => covers(pool, address))
  if (around === undefined) return `${text} is in no pool (${formatPools(pools)}) and not on the allow-list`
  if (address?.value === around.first) return `${text} is the first address of ${around.cidr}, which nobody is given`
  if (address?.value === around.last) return `${text} is the last address of ${around.cidr}, which nobody is given`
  return `${text} is excluded from the pool ${around.cidr}`
}

export const serviceVipOutsidePool: Rule<ServiceSubject> = {
  id: 'service-vip-outside-pool',
  kinds: ['security'],
  defaults: { virtualHost: 'deny', other: 'warn' },
  finds: 'An external IP lies in no pool and is not on the allow-list.',
  why:
    'Kubernetes lets whoever may create a Service take any address as its external IP, that of another Service or of a host on the ' +
    'Internet included, and the nodes then send its traffic there (CVE-2020-8554). The addresses of virtual hosts come out of the ' +
    'pools that are for their namespace; others the owners of the cluster allow by `allowedExternalIPs` in the configuration. The first and ' +
    'the last address of a pool (for IPv4 the network and the broadcast address) are not in it, nor is what it excludes.',
  check: (subject) =>
    subject.service.externalIPs.flatMap((address, index) => {
      const problem = problemOf(address, subject)
      if (problem === undefined) return []
      return [
        {
          field: `spec.externalIPs[${index}]`,
          about: address,
          problem,
          reason: "an external IP takes that address's traffic, whoever's it is (CVE-2020-8554)",
          fix: subject.isVirtualHost
            ? 'leave externalIPs out: a free address is written in'
            : 'leave it out, or have the owners of the cluster allow it (allowedExternalIPs)',
        },
      ]
    }),
}

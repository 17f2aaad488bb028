import { formatName, sameName } from '../api/metadata.ts'
import type { ClusterView, Holder } from '../view/view.ts'
import { ownAddresses } from '../vip/families.ts'
import { otherHolder } from '../vip/holders.ts'
import { inPool } from '../vip/pools.ts'
import type { RuleFinding } from './finding.ts'
import type { Rule, ServiceSubject } from './rule.ts'

/** What to do without the address: an ordinary Service is given no other. */
const leaveOut = (isVirtualHost: boolean): string =>
  isVirtualHost
    ? 'leave externalIPs out: a free address is written in'
    : 'leave it out, or write one that is free (meshvip vips shows those that are not)'

/** A claim outlives its Service until it is collected; then nobody finds that Service who looks for it. */
const isOrphaned = ({ kind, service }: Holder, view: ClusterView): boolean =>
  kind === 'IPAddress' && service !== undefined && view.service(service) === undefined

const checkAddress = (
  address: string,
  field: string,
  isFirst: boolean,
  { service, policy, view, claimed, isVirtualHost }: ServiceSubject,
): RuleFinding[] => {
  // Read for this very review, unlike the other holders: it alone says that nobody else can have the address.
  const claim = claimed && isFirst ? view.claim(address) : undefined
  const isOwn = claim?.service !== undefined && sameName(claim.service, service)
  const other = otherHolder(address, service, policy.pools, view) ?? (isOwn ? undefined : claim)
  const common = { field, about: address }
  if (other !== undefined) {
    const orphaned = isOrphaned(other, view)
    const fix = leaveOut(isVirtualHost)
    return [
      {
        ...common,
        problem: orphaned
          ? `${address} is still claimed for ${other.text}, which is not there`
          : `${address} belongs to ${other.text}`,
        mismatch: true,
        reason: "two names with one address get each other's traffic and telemetry",
        fix: orphaned ? `${fix}; or apply it again in some minutes, when the claim has been collected` : fix,
      },
    ]
  }
  if (!isFirst) {
    return [
      {
        ...common,
        problem: `${address} is another address of the pools beside the first of its family`,
        reason:
          'a Service has one, with dual stack one of each family, and what it takes beyond that others cannot have',
        fix: 'leave it out',
      },
    ]
  }
  if (!claimed || (isOwn && !claim.isReleased)) return []
  return [
    {
      ...common,
      fromMutation: true,
      problem: `${address} is not claimed for ${formatName(service)}`,
      reason: 'the mutating webhook was not reached, and another Service may be given the same address meanwhile',
      fix: 'apply it again',
    },
  ]
}

export const serviceVipTaken: Rule<ServiceSubject> = {
  id: 'service-vip-taken',
  kinds: ['security'],
  defaults: { virtualHost: 'deny', other: 'deny' },
  finds:
    'An address of the pool belongs to another Service or a ServiceEntry in any namespace, or is not this Service’s to take.',
  why:
    'Two names with one address: telemetry counts the traffic of one as that of the other, and traffic outside the mesh reaches ' +
    'whichever came first. An address is held by a claim (an IPAddress object), by the `externalIPs` or the load balancer of a ' +
    'Service, or by the `addresses` of a ServiceEntry, to which Istio gives addresses of 240.240.0.0/16 by itself. Whoever has an ' +
    'address of the pool has a claim on it, which the mutating webhook makes, and one address is all that a Service can have.',
  check: (subject) => {
    const { service, policy } = subject
    const first = new Set(ownAddresses(service.externalIPs, policy.pools).values())
    return service.externalIPs.flatMap((address, index) => {
      if (!inPool(policy.pools, address)) return []
      // Each of them once: the same address again is another beside the first.
      const isFirst = first.delete(address)
      return checkAddress(address, `spec.externalIPs[${index}]`, isFirst, subject)
    })
  },
}

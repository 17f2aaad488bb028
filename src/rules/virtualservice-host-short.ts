import { resolveShortName } from '../istio/hosts.ts'
import type { RuleFinding } from './finding.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'

export const virtualServiceHostShort: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-host-short',
  kinds: ['advice'],
  defaults: { virtualHost: 'warn', other: 'warn' },
  finds: 'A host or a destination is a short name, without any dot.',
  why:
    'Istio expands a name without dot by the namespace of the VirtualService in which it stands. It works, but moved or copied to another ' +
    'namespace it means another Service, and who reads it has to know where it stands.',
  check: ({ virtualService, emission, policy }) => {
    const full = (host: string) => resolveShortName(host, virtualService.namespace, policy.clusterDomain)
    const isShort = (host: string) => full(host) !== host
    const finding = (field: string, host: string): RuleFinding => ({
      field,
      about: host,
      problem: `"${host}" is a short name`,
      reason: 'in another namespace it would mean another Service',
      fix: `write ${full(host)}`,
    })
    const hosts = emission.hosts.flatMap(({ kind, field, host }) =>
      kind === 'resolved' && isShort(host) ? [finding(field, host)] : [],
    )
    const destinations = emission.destinations.flatMap(({ kind, destination: { field, host } }) =>
      kind === 'exists' && isShort(host) ? [finding(`${field}.host`, host)] : [],
    )
    // One of each name is enough.
    return [...new Map([...hosts, ...destinations].reverse().map((one) => [one.about, one])).values()]
  },
}

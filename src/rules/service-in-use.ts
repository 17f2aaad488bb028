import { formatName } from '../api/metadata.ts'
import type { ServicePort } from '../api/service.ts'
import type { Protocol, VirtualService } from '../api/virtual-service.ts'
import { emissionsFor } from '../istio/clients.ts'
import { type Emission, protocolsOf } from '../istio/emission.ts'
import { hostsOf, serviceHost } from '../istio/hosts.ts'
import { portClass } from '../istio/protocol.ts'
import type { Policy } from './policy.ts'
import type { DeletionSubject, Rule, ServiceSubject } from './rule.ts'

/** How many VirtualServices a message names. */
const maxNames = 3

const named = (users: readonly Use[]): string => {
  const shown = users.slice(0, maxNames).map(({ virtualService }) => formatName(virtualService))
  const rest = users.length > maxNames ? ` and ${users.length - maxNames} more` : ''
  return `VirtualService${users.length === 1 ? '' : 's'} ${shown.join(', ')}${rest}`
}

/** What a VirtualService on the mesh has to do with a Service that it names. */
type Use = {
  virtualService: VirtualService
  /** Whether its routes of a protocol are emitted for a port under the Service's own name. */
  isBy(protocol: Protocol, port: number): boolean
  /** The ports that its routes lead to. */
  to: ReadonlySet<number>
  isAny: boolean
}

/** Whether a host is given by its name: what serves it by a wildcard serves others as well, and does not wait for it. */
const names = (virtualService: VirtualService, host: string, policy: Policy): boolean =>
  hostsOf(virtualService, policy).some((name) => name.toLowerCase() === host)

const useOf = (virtualService: VirtualService, host: string, { view, policy }: DeletionSubject): Use => {
  const [emission] = emissionsFor(virtualService, view, policy) as [Emission, ...Emission[]]
  const { onMesh, routes, destinations } = emission
  const isNamed = onMesh && names(virtualService, host, policy)
  const leading = destinations.filter((destination) => destination.host === host)
  const carried = new Map<Protocol, Set<number>>()
  // Many routes share one list of ports.
  for (const [ports, some] of Map.groupBy(isNamed ? routes : [], (route) => route.ports)) {
    for (const protocol of new Set(some.map(({ route }) => route.protocol))) {
      const known = carried.get(protocol) ?? new Set()
      for (const port of ports) known.add(port)
      carried.set(protocol, known)
    }
  }
  return {
    virtualService,
    isBy: (protocol, port) => carried.get(protocol)?.has(port) ?? false,
    to: new Set(leading.flatMap((destination) => (destination.kind === 'exists' ? destination.ports : []))),
    isAny: isNamed || leading.length > 0,
  }
}

/** What uses a Service as it is, in the order of names. */
const usesOf = (subject: DeletionSubject): Use[] => {
  const { service, view, policy } = subject
  const host = serviceHost(service, policy.clusterDomain)
  const byHost = view.virtualServices(host).filter((virtualService) => names(virtualService, host, policy))
  return [...new Set([...byHost, ...view.virtualServicesTo(host)])]
    .map((virtualService) => ({ name: formatName(virtualService), virtualService }))
    .sort((a, b) => Number(a.name > b.name) - Number(a.name < b.name))
    .map(({ virtualService }) => useOf(virtualService, host, subject))
    .filter(({ isAny }) => isAny)
}

/** By their numbers, what the ports carry that have clusters and listeners: none that is UDP alone. */
const portsOf = (ports: readonly ServicePort[]): Map<number, Set<Protocol>> => {
  const found = new Map<number, Set<Protocol>>()
  for (const port of ports) {
    const carried = protocolsOf[portClass(port)]
    if (carried.length > 0) found.set(port.port, new Set([...(found.get(port.port) ?? []), ...carried]))
  }
  return found
}

export const serviceInUse: Rule<ServiceSubject> = {
  id: 'service-in-use',
  kinds: ['advice'],
  defaults: { virtualHost: 'warn', other: 'warn' },
  finds:
    'An update takes away a port, or what it carries, or the Service is deleted, while a VirtualService routes by it or to it.',
  why:
    'Istio does not hold on to what a VirtualService names. Without the port its routes are given to no sidecar, or lead to a cluster ' +
    'that does not exist: callers get 503, or no connection at all. Where both are changed together, as by GitOps, it is so for the ' +
    'moment between the two; to leave no gap, add the new port first, move the VirtualService, and take the old port away last. ' +
    'A deletion is never refused, whatever is configured.',
  check: (subject) => {
    const { service, before } = subject
    if (before === undefined) return []
    const now = portsOf(service.ports)
    const lost = [...portsOf(before.ports)].flatMap(([number, carried]) => {
      const gone = [...carried].filter((protocol) => !now.get(number)?.has(protocol))
      return gone.length === 0 ? [] : [{ number, gone, left: now.get(number), all: gone.length === carried.size }]
    })
    if (lost.length === 0) return []
    const uses = usesOf({ ...subject, service: before })
    return lost.flatMap(({ number, gone, left, all }) => {
      const users = uses.filter(
        ({ isBy, to }) => gone.some((protocol) => isBy(protocol, number)) || (all && to.has(number)),
      )
      if (users.length === 0) return []
      const index = service.ports.findIndex((port) => port.port === number && portClass(port) !== 'UDP')
      const common = { about: String(number), mismatch: true as const }
      return [
        left === undefined
          ? {
              ...common,
              field: 'spec.ports',
              problem: `port ${number} is taken away, but in use by ${named(users)}`,
              reason: 'routes by it or to it then lead nowhere, and callers get errors',
              fix: 'keep the port until nothing routes by it or to it',
            }
          : {
              ...common,
              field: `spec.ports[${index}]`,
              problem: `port ${number} carries no ${gone.join(' or ')} any more, but is in use by ${named(users)}`,
              reason: 'its routes are then given to no sidecar, and what is sent to it may not be understood',
              fix: 'leave its protocol as it is, and add a port for the other one',
            },
      ]
    })
  },
}

/** The same, said of a deletion. */
export const serviceInUseDeletion: Rule<DeletionSubject> = {
  ...serviceInUse,
  check: (subject) => {
    const users = usesOf(subject)
    if (users.length === 0) return []
    return [
      {
        field: 'metadata.name',
        about: 'deletion',
        problem: `${formatName(subject.service)} is deleted, but in use by ${named(users)}`,
        reason: 'routes by it or to it then lead nowhere, and callers get errors',
        fix: `take it out of the VirtualService${users.length === 1 ? '' : 's'} first`,
      },
    ]
  },
}

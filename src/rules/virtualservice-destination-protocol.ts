import type { Destination } from '../api/virtual-service.ts'
import type { Emission } from '../istio/emission.ts'
import { isWildcard } from '../istio/hosts.ts'
import type { MeshPort } from '../istio/registry.ts'
import type { RuleFinding } from './finding.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'

/** The destinations that get nothing but HTTP/2: all ports that lead to them say so. */
const http2Only = ({ routes, targets }: Emission): ReadonlySet<Destination> => {
  const others = new Set(
    targets.flatMap(({ ports }) =>
      ports.flatMap(({ number, class: portClass, isHttp2 }) => (portClass === 'HTTP' && isHttp2 ? [] : [number])),
    ),
  )
  // On port 80 a route may be given where none of the hosts has a port.
  const known = new Set(targets.flatMap(({ ports }) => ports.map(({ number }) => number)))
  const mixed = new Set(
    routes.flatMap(({ route, ports }) => (ports.some((port) => others.has(port) || !known.has(port)) ? [route] : [])),
  )
  return new Set(
    routes.flatMap(({ route, ports }) =>
      ports.length === 0 || mixed.has(route) ? [] : [...route.destinations, ...route.mirrors],
    ),
  )
}

const unfit = ({ class: portClass, isHttp2 }: MeshPort, getsHttp2: boolean) => {
  if (portClass === 'TLS') {
    return {
      speaks: 'expects TLS, and is sent plain HTTP',
      reason: 'it does not understand it unless a DestinationRule originates TLS',
      fix: 'lead to a port that speaks HTTP, or originate TLS by a DestinationRule',
    }
  }
  if (portClass === 'TCP') {
    return {
      speaks: 'is a TCP port by its name, and is sent HTTP',
      reason: 'what is named so seldom understands it',
      fix: 'lead to a port that speaks HTTP, or name the port http if it does',
    }
  }
  return portClass === 'HTTP' && !isHttp2 && getsHttp2
    ? {
        speaks: 'speaks HTTP/1.1 by its name, and is sent HTTP/2',
        reason: 'gRPC fails there, since it needs HTTP/2 all the way',
        fix: 'name the port of the destination grpc or http2, or that of the host http',
      }
    : undefined
}

export const virtualServiceDestinationProtocol: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-destination-protocol',
  kinds: ['advice'],
  defaults: { virtualHost: 'warn', other: 'warn' },
  finds:
    'A route leads to a port whose protocol does not fit what comes by it: HTTP to TLS, gRPC to HTTP/1.1, HTTP to TCP.',
  why:
    'The cluster of a destination speaks what its port says. What an http route takes in is plain HTTP: a port called `https-` gets it ' +
    'where it expects TLS. gRPC needs HTTP/2, and the cluster of a port called `http-` speaks HTTP/1.1. Nothing is said of a host for ' +
    'which there is a DestinationRule, since that may originate TLS or upgrade to HTTP/2.',
  check: ({ emission, view }) => {
    const getHttp2 = http2Only(emission)
    return emission.destinations.flatMap((emitted): RuleFinding[] => {
      const { destination, target, protocol } = emitted
      if (emitted.kind !== 'exists' || target === undefined || protocol !== 'http') return []
      const port = target.ports.find(({ number }) => emitted.ports.includes(number))
      // Of a host that this cluster cannot show nobody knows the ports.
      if (port === undefined) return []
      const found = unfit(port, getHttp2.has(destination))
      if (found === undefined || view.destinationRules(target.host).some(({ host }) => !isWildcard(host))) return []
      return [
        {
          field: `${destination.field}.port.number`,
          about: `${target.host}:${port.number}`,
          mismatch: true,
          problem: `port ${port.number} of "${destination.host}" ${found.speaks}`,
          reason: found.reason,
          fix: found.fix,
        },
      ]
    })
  },
}

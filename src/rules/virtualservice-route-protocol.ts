import type { Protocol } from '../api/virtual-service.ts'
import type { Rule, VirtualServiceSubject } from './rule.ts'
import { hasUnknownPorts, listed, mayBeGateways } from './wording.ts'

const wanted: Readonly<Record<Protocol, string>> = {
  http: 'a port named http, http2 or grpc',
  tcp: 'a port named tcp, mongo, redis or mysql',
  tls: 'a port named tls or https',
}

export const virtualServiceRouteProtocol: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-route-protocol',
  kinds: ['broken'],
  defaults: { virtualHost: 'deny', other: 'deny' },
  finds:
    'A route that no port of its hosts can carry: http on TCP, TLS or UDP, tcp on HTTP or TLS, tls on anything but TLS.',
  why:
    'The protocol of a port decides which routes its listener takes: `http` those of an HTTP port, `tcp` those of a TCP port, `tls` those ' +
    'of a TLS port. On a port whose protocol Istio has to guess it takes `http` and `tcp`. All others are left out without a word, and ' +
    'callers reach the host’s own cluster.',
  check: ({ emission }) => {
    if (hasUnknownPorts(emission)) return []
    return emission.routes.flatMap(({ route, match, dropped }) => {
      if (dropped !== 'class' || mayBeGateways(emission, match)) return []
      const { protocol } = route
      const carrying = emission.ports[protocol]
      const has = carrying.length === 0 ? 'its hosts have none' : `its hosts have ${listed(carrying)}`
      const port = match?.port
      return [
        {
          field: port === undefined ? route.field : `${match?.field}.port`,
          about: `${protocol} ${port ?? 'any'}`,
          mismatch: true as const,
          problem:
            port === undefined
              ? `no port of the hosts carries ${protocol} routes`
              : `port ${port} carries no ${protocol} routes`,
          reason: 'no sidecar is given this route, and its requests are not routed',
          fix: `use ${wanted[protocol]} (${has}), or write the route as one of the protocol that the port has`,
        },
      ]
    })
  },
}

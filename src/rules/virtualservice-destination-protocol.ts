import type { Rule, VirtualServiceSubject } from './rule.ts'

export const virtualServiceDestinationProtocol: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-destination-protocol',
  kinds: ['advice'],
  defaults: { virtualHost: 'warn', other: 'warn' },
  finds:
    'A route leads to a port whose protocol does not fit what comes by it: HTTP to TLS, gRPC to HTTP/1.1, HTTP to TCP.',
  why:
    'The cluster of a destination speaks what its port says. What an http route takes in is plain HTTP: a port called `https-` gets it ' +
    'where it expects TLS. gRPC needs HTTP/2, and the cluster of a port called `http-` speaks HTTP/1.1.',
  check: ({ emission }) => {
    const listeners = emission.targets.flatMap(({ ports }) => ports.filter(({ class: one }) => one === 'HTTP'))
    // What comes in is only sure where all listeners say the same.
    const isAllHttp2 = listeners.length > 0 && listeners.every(({ isHttp2 }) => isHttp2)
    return emission.destinations.flatMap((emitted) => {
      const { destination, target, protocol } = emitted
      if (emitted.kind !== 'exists' || target === undefined || protocol !== 'http') return []
      const port = target.ports.find(({ number }) => emitted.ports.includes(number))
      if (port === undefined) return []
      const speaks =
        port.class === 'TLS'
          ? 'expects TLS'
          : port.class === 'TCP'
            ? 'is no HTTP port'
            : isAllHttp2 && port.class === 'HTTP' && !port.isHttp2
              ? 'speaks HTTP/1.1'
              : undefined
      if (speaks === undefined) return []
      const sent = port.class === 'HTTP' ? 'gRPC or HTTP/2' : 'plain HTTP'
      return [
        {
          field: `${destination.field}.port.number`,
          about: `${target.host}:${port.number}`,
          mismatch: true as const,
          problem: `port ${port.number} of "${destination.host}" ${speaks}, and is sent ${sent}`,
          reason: 'they do not understand each other unless a DestinationRule translates',
          fix:
            port.class === 'HTTP'
              ? `name the port of the destination grpc or http2, or that of the host http`
              : `lead to a port that speaks HTTP, or originate TLS by a DestinationRule`,
        },
      ]
    })
  },
}

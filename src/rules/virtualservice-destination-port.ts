import type { Rule, VirtualServiceSubject } from './rule.ts'

export const virtualServiceDestinationPort: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-destination-port',
  kinds: ['broken'],
  defaults: { virtualHost: 'deny', other: 'deny' },
  finds: 'A destination’s port is not on its Service, or it is left out and the port being listened on is not on it.',
  why:
    'A destination names the cluster of one port. Where the Service does not have it the cluster does not exist, and callers get ' +
    '503. In an HTTP route a sidecar does not take the only port of a Service, as the API’s text says, but the one on which it ' +
    'listens: with the virtual host on 3111 and the destination on 3100 the port has to be written.',
  check: ({ emission }) =>
    emission.destinations.flatMap((destination) => {
      if (destination.kind !== 'port') return []
      const { field, host } = destination.destination
      const ports = destination.target.ports.map(({ number }) => number)
      const has = ports.length === 0 ? 'it has none' : `it has ${ports.join(', ')}`
      const port = destination.port
      return [
        destination.implied
          ? {
              field: `${field}.port`,
              about: `${destination.host}:${port}`,
              problem: `the port is left out, and "${host}" has no port ${port}, on which the route is listened for`,
              reason: "a sidecar takes the listener's port, that cluster does not exist, and callers get 503",
              fix: `add port.number: ${ports[0] ?? '<port>'} (${has})`,
            }
          : {
              field: `${field}.port.number`,
              about: `${destination.host}:${port}`,
              problem: `"${host}" has no port ${port}`,
              reason: 'the route leads to a cluster that does not exist, and callers get 503',
              fix: `write a port of that Service (${has}), or add port ${port} to it`,
            },
      ]
    }),
}

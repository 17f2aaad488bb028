import type { Rule, VirtualServiceSubject } from './rule.ts'
import { listed, unreachable } from './wording.ts'

export const virtualServiceDestinationPort: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-destination-port',
  kinds: ['broken'],
  defaults: { virtualHost: 'deny', other: 'deny' },
  finds: 'A destination’s port is not on its Service, or it is left out and the port being listened on is not on it.',
  why:
    'A destination names the cluster of one port. Where the Service does not have it the cluster does not exist, and callers get ' +
    '503. In an HTTP route a sidecar does not take the only port of a Service, as the API’s text says, but the one on which it ' +
    'listens: with the virtual host on 3111 and the destination on 3100 the port has to be written. ' +
    'Where some of the ports being listened on are on it, it is a warning: callers may use those.',
  check: ({ emission }) =>
    emission.destinations.flatMap((destination) => {
      if (destination.kind !== 'port') return []
      const { ports, port, implied, reachable, alias } = destination
      const { field, host } = destination.destination
      const has = ports.length === 0 ? 'it has none' : `it has ${listed(ports)}`
      // Which of the ports being listened on comes first says nothing about the object.
      const about = `${destination.host}:${implied ? 'implied' : port}`
      if (alias) {
        return [
          {
            field: `${field}.host`,
            about: `${destination.destination.host}:alias`,
            mismatch: true as const,
            problem: `ExternalName Service "${host}" does not have port ${port}, on which the sidecar listens`,
            reason: `without it Istio does not follow the alias: ${unreachable(destination.destination)}`,
            fix: `add port ${port} to that Service (${has}), or lead to what it stands for`,
            ...(reachable ? { atMost: 'warn' as const } : {}),
          },
        ]
      }
      return [
        implied
          ? {
              field: `${field}.port`,
              about,
              mismatch: true as const,
              problem: `no port is given, so a sidecar takes the port it listens on, ${port}, which "${host}" does not have`,
              reason: unreachable(destination.destination),
              fix: `add port.number: ${ports[0] ?? '<port>'} (${has})`,
              // What callers use may be another of the ports.
              ...(reachable ? { atMost: 'warn' as const } : {}),
            }
          : {
              field: `${field}.port.number`,
              about,
              mismatch: true as const,
              problem: `"${host}" has no port ${port}`,
              reason: unreachable(destination.destination),
              fix: `write a port that it has (${has}), or add port ${port} to it`,
            },
      ]
    }),
}

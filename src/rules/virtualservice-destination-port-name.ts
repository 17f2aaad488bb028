import type { Rule, VirtualServiceSubject } from './rule.ts'

export const virtualServiceDestinationPortName: Rule<VirtualServiceSubject> = {
  id: 'virtualservice-destination-port-name',
  kinds: ['convention'],
  defaults: { virtualHost: 'deny', other: 'warn' },
  finds: 'The port of a destination does not say which protocol it speaks.',
  why:
    'A sidecar speaks to a destination as its port says: by a name such as `http-api` or `grpc`, or by appProtocol. Where neither says it, ' +
    'it goes by what the caller spoke, and telemetry and retries may treat the traffic as opaque bytes.',
  check: ({ emission }) =>
    emission.destinations.flatMap((emitted) => {
      const { destination, target } = emitted
      if (emitted.kind !== 'exists' || target?.service === undefined) return []
      const port = target.ports.find(
        ({ number, class: portClass }) => portClass === 'undetermined' && emitted.ports.includes(number),
      )
      if (port === undefined) return []
      return [
        {
          field: `${destination.field}.port.number`,
          about: `${target.host}:${port.number}`,
          mismatch: true as const,
          problem: `port ${port.number} of Service ${target.namespace}/${target.name} does not say its protocol`,
          reason: 'sidecars have to guess what to speak to it',
          fix: `name the port of that Service by its protocol, as in name: http-api, or set its appProtocol`,
        },
      ]
    }),
}

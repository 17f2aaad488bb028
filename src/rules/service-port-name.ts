import { portClass, protocolNames, undeterminedInCEL } from '../istio/protocol.ts'
import type { Rule, ServiceSubject } from './rule.ts'

export const servicePortName: Rule<ServiceSubject> = {
  id: 'service-port-name',
  kinds: ['convention'],
  defaults: { virtualHost: 'deny', other: 'warn' },
  finds: 'Neither the name of a port nor its appProtocol says which protocol it speaks.',
  why:
    'Istio reads the protocol from the name, `<protocol>` or `<protocol>-<suffix>`, or from appProtocol, which replaces the name ' +
    `even where Istio does not know it. The protocols are ${protocolNames.join(', ')}. Without one a sidecar guesses from the ` +
    'first bytes of each connection: a wrong guess loses every route by host or path, and the listener is another one.',
  check: ({ service }) =>
    service.ports.flatMap((port, index) => {
      if (portClass(port) !== 'undetermined') return []
      const field = `spec.ports[${index}]`
      const common = {
        about: String(port.port),
        reason: 'Istio has to guess the protocol from the first bytes, and a wrong guess loses the routes',
      }
      return port.appProtocol === undefined
        ? [
            {
              ...common,
              field: `${field}.name`,
              problem:
                port.name === ''
                  ? `port ${port.port} has no name that says its protocol`
                  : `the name "${port.name}" of port ${port.port} says no protocol`,
              fix: `put the protocol first, as in name: ${port.name === '' ? 'http' : `http-${port.name}`} (or grpc, tcp, tls, ...)`,
            },
          ]
        : [
            {
              ...common,
              field: `${field}.appProtocol`,
              problem: `appProtocol "${port.appProtocol}" of port ${port.port} is none that Istio knows, and it replaces the name`,
              fix: 'write one that Istio knows, as in appProtocol: http, or leave it out and put the protocol first in the name',
            },
          ]
    }),
  portInCEL: undeterminedInCEL,
}

import type { ServicePort } from '../api/service.ts'

/** How Istio treats the traffic of a port. `undetermined` is sniffed at run time. */
export type PortClass = 'HTTP' | 'TCP' | 'TLS' | 'UDP' | 'undetermined'

/** Istio 1.31 pkg/config/protocol/instance.go, Parse; the names are compared in lower case. */
const classes: ReadonlyMap<string, PortClass> = new Map([
  ['http', 'HTTP'],
  ['http2', 'HTTP'],
  ['http_proxy', 'HTTP'],
  ['grpc', 'HTTP'],
  ['grpc-web', 'HTTP'],
  ['tcp', 'TCP'],
  ['mongo', 'TCP'],
  ['redis', 'TCP'],
  ['mysql', 'TCP'],
  ['https', 'TLS'],
  ['tls', 'TLS'],
  ['udp', 'UDP'],
])

/** The protocols that a port's name can begin with, for messages. */
export const protocolNames: readonly string[] = [...classes.keys()].filter((name) => name !== 'http_proxy')

/** Kubernetes' own appProtocols, compared as they are. Istio 1.31 pkg/config/kube/conversion.go, ConvertProtocol. */
const kubernetesAppProtocols: ReadonlyMap<string, PortClass> = new Map([
  ['kubernetes.io/h2c', 'HTTP'],
  ['kubernetes.io/ws', 'HTTP'],
  ['kubernetes.io/wss', 'TLS'],
])

/** Ports that are TCP when nothing says what they are: SMTP, DNS, MySQL, MongoDB, where servers speak first. */
const wellKnownTcpPorts: ReadonlySet<number> = new Set([25, 53, 3306, 27017])

/** The class of a protocol by its own name, as ServiceEntry ports give it. */
export const protocolClass = (protocol: string): PortClass => classes.get(protocol.toLowerCase()) ?? 'undetermined'

/**
 * The class that Istio derives for a Service's port. An appProtocol replaces the name, even one that Istio does not know.
 * Istio 1.31 pkg/config/kube/conversion.go, ConvertProtocol.
 */
export const portClass = ({ name, port, protocol, appProtocol }: ServicePort): PortClass => {
  if (protocol === 'UDP') return 'UDP'
  const known = kubernetesAppProtocols.get(appProtocol ?? '')
  if (known !== undefined) return known
  const text = (appProtocol ?? name).toLowerCase()
  const derived = text.startsWith('grpc-web') ? 'HTTP' : protocolClass(text.replace(/-.*/s, ''))
  return derived === 'undetermined' && wellKnownTcpPorts.has(port) ? 'TCP' : derived
}

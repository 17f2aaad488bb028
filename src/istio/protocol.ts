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
const kubernetesAppProtocols: ReadonlyMap<string, string> = new Map([
  ['kubernetes.io/h2c', 'http2'],
  ['kubernetes.io/ws', 'http'],
  ['kubernetes.io/wss', 'https'],
])

/** Ports that are TCP when nothing says what they are: SMTP, DNS, MySQL, MongoDB, where servers speak first. */
const wellKnownTcpPorts: ReadonlySet<number> = new Set([25, 53, 3306, 27017])

/** The class of a protocol by its own name, as ServiceEntry ports give it. */
export const protocolClass = (protocol: string): PortClass => classes.get(protocol.toLowerCase()) ?? 'undetermined'

/** Whether a protocol is HTTP/2, as gRPC is. Istio 1.31 pkg/config/protocol/instance.go, IsHTTP2. */
export const isHttp2Protocol = (protocol: string): boolean =>
  ['http2', 'grpc', 'grpc-web'].includes(protocol.toLowerCase())

/** The protocol that a Service's port says; '' for none that Istio knows. */
const protocolOf = ({ name, appProtocol }: Pick<ServicePort, 'name' | 'appProtocol'>): string => {
  const known = kubernetesAppProtocols.get(appProtocol ?? '')
  if (known !== undefined) return known
  // Of grpc-web this leaves grpc, which Istio treats alike.
  return (appProtocol ?? name).toLowerCase().replace(/-.*/s, '')
}

/** Whether a cluster for a Service's port speaks HTTP/2. */
export const speaksHttp2 = (port: ServicePort): boolean => isHttp2Protocol(protocolOf(port))

/**
 * The class that Istio derives for a Service's port. An appProtocol replaces the name, even one that Istio does not know.
 * Istio 1.31 pkg/config/kube/conversion.go, ConvertProtocol.
 */
export const portClass = (port: ServicePort): PortClass => {
  if (port.protocol === 'UDP') return 'UDP'
  const derived = protocolClass(protocolOf(port))
  return derived === 'undetermined' && wellKnownTcpPorts.has(port.port) ? 'TCP' : derived
}

const listInCEL = (names: Iterable<string>): string => `[${[...names].map((name) => `'${name}'`).join(', ')}]`

/** CEL: the class of the port of a v1 Service in this variable is `undetermined`. */
export const undeterminedInCEL = (port: string): string =>
  [
    `${port}.?protocol.orValue('TCP') != 'UDP'`,
    `!(${port}.port in [${[...wellKnownTcpPorts].join(', ')}])`,
    `!(${port}.?appProtocol.orValue('') in ${listInCEL(kubernetesAppProtocols.keys())})`,
    `!(${port}.?appProtocol.orValue(${port}.?name.orValue('')).lowerAscii().split('-')[0] in ${listInCEL(classes.keys())})`,
  ].join(' && ')

import fc from 'fast-check'
import type { NamespacedName } from '../../../src/api/metadata.ts'
import { type PortClass, portClass } from '../../../src/istio/protocol.ts'
import {
  type Draft,
  destinationNames,
  destinationPorts,
  draft,
  mostly,
  namespaces,
  nonEmpty,
  rarely,
  virtualHostNames,
  virtualHostPorts,
} from './universe.ts'

export type Port = { name?: string; port: number; protocol?: string; appProtocol?: string }
export type ServiceSpec = {
  type: string
  ports: Port[]
  clusterIP?: string
  externalName?: string
  selector?: Record<string, string>
}
export type Service = Draft<ServiceSpec>

/** What can say the protocol of a port, without its number. */
export type PortKind = Omit<Port, 'port'>

/** The ways to say the protocol of a port: one entry a way. */
export const portKinds: readonly PortKind[] = [
  { name: 'http' },
  { name: 'http2' },
  { name: 'grpc' },
  { name: 'grpc-web' },
  { name: 'tcp' },
  { name: 'redis' },
  { name: 'mongo' },
  { name: 'mysql' },
  { name: 'https' },
  { name: 'tls' },
  { name: 'web' },
  {},
  { name: 'httpfoo' },
  { name: 'web', appProtocol: 'http' },
  { name: 'web', appProtocol: 'HTTP2' },
  { name: 'http', appProtocol: 'tcp' },
  { name: 'http', appProtocol: 'tls' },
  { name: 'http', appProtocol: 'example.com/http' },
  { name: 'tcp', appProtocol: 'kubernetes.io/h2c' },
  { name: 'tcp', appProtocol: 'kubernetes.io/wss' },
  { name: 'http', protocol: 'SCTP' },
  { name: 'http', protocol: 'UDP' },
]

/** What stands behind a destination: one entry a construct. */
const destinationKinds = {
  workload: (name: string, clusterIP: string) => ({ type: 'ClusterIP', clusterIP, selector: { app: name } }),
  headless: (name: string) => ({ type: 'ClusterIP', clusterIP: 'None', selector: { app: name } }),
  externalName: () => ({ type: 'ExternalName', externalName: 'backend.example.com' }),
}

export const exportAnnotation = 'networking.istio.io/exportTo'
export const serviceScopes = ['.', '*', '~', ...namespaces, 'shop,pay'] as const

type PortDraw = { number: number; kind: PortKind }
export type ServiceDraw = NamespacedName & { ports: readonly PortDraw[]; scope: string | undefined }
export type DestinationDraw = ServiceDraw & { kind: keyof typeof destinationKinds }

const classOf = ({ number, kind }: PortDraw): PortClass => classOfPort({ ...kind, port: number })

export const classOfPort = ({ name = '', port, protocol = 'TCP', appProtocol }: Port): PortClass =>
  portClass({ name, port, protocol, appProtocol })

const portsOf = (numbers: readonly number[]): fc.Arbitrary<readonly PortDraw[]> =>
  fc
    .uniqueArray(
      fc.record({
        number: fc.constantFrom(...numbers),
        kind: fc.oneof({ withCrossShrink: true }, fc.constant({ name: 'http' }), fc.constantFrom(...portKinds)),
      }),
      { selector: ({ number }) => number, maxLength: 2 },
    )
    // Something must be there to route by and to.
    .filter((ports) => ports.some((port) => classOf(port) !== 'UDP'))

const servicesOf = <Draw>(
  names: readonly string[],
  numbers: readonly number[],
  kind: fc.Arbitrary<Draw>,
  maxLength: number,
): fc.Arbitrary<readonly (ServiceDraw & { kind: Draw })[]> =>
  nonEmpty(
    fc.uniqueArray(
      fc.record({
        name: fc.constantFrom(...names),
        namespace: fc.constantFrom('shop', 'pay'),
        ports: portsOf(numbers),
        scope: rarely(fc.constantFrom(...serviceScopes)),
        kind,
      }),
      { selector: ({ namespace, name }) => `${namespace}/${name}`, maxLength },
    ),
  )

export const virtualHostDraws = servicesOf(virtualHostNames, virtualHostPorts, fc.constant('virtualHost' as const), 3)

export const destinationDraws: fc.Arbitrary<readonly DestinationDraw[]> = servicesOf(
  destinationNames,
  destinationPorts,
  mostly<keyof typeof destinationKinds>(fc.constant('workload'), fc.constantFrom('headless', 'externalName')),
  4,
)

/** Unique, within the range that Kubernetes takes unless told otherwise. */
export const clusterIP = (index: number): string => `10.96.1.${index + 1}`

/** The port at an index of those of a Service: several need names, all different. */
export const namedPort = (kind: PortKind, port: number, index: number): Port => ({
  ...kind,
  name: `${kind.name ?? 'web'}-${index}`,
  port,
})

const toService = ({ namespace, name, ports, scope }: ServiceDraw, spec: Omit<ServiceSpec, 'ports'>): Service => {
  const service = draft('v1', 'Service', { namespace, name }, {
    ...spec,
    ports: ports.map(({ kind, number }, index) =>
      ports.length === 1 ? { ...kind, port: number } : namedPort(kind, number, index),
    ),
  } satisfies ServiceSpec)
  if (scope !== undefined) service.metadata.annotations = { [exportAnnotation]: scope }
  return service
}

export const toVirtualHost = (draw: ServiceDraw, index: number): Service =>
  toService(draw, { type: 'ClusterIP', clusterIP: clusterIP(index) })

export const toDestination = (draw: DestinationDraw, index: number): Service =>
  toService(draw, destinationKinds[draw.kind](draw.name, clusterIP(index)))

/** Adds a port to a Service, whose only one may have had no name. */
export const addPort = ({ spec }: Service, kind: PortKind, port: number): void => {
  const named = spec.ports.map((other) => ({ ...other, name: other.name ?? 'web' }))
  spec.ports = [...named, namedPort(kind, port, named.length)]
}

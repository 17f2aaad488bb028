import { canonicalAddress } from './address.ts'
import { Fields } from './fields.ts'
import { type NamespacedName, readName } from './metadata.ts'

/** Says of a Service whether it is a virtual host, whatever its fields suggest: "true" or "false". */
export const virtualHostLabel = 'meshvip.dev/virtual-host'

/** Istio's own way to hide a Service from sidecars of other namespaces. */
const exportToAnnotation = 'networking.istio.io/exportTo'

const none: readonly string[] = []

/** Makes a Service with external IPs a gateway between networks. Istio 1.31 pilot/pkg/serviceregistry/kube/controller/network.go. */
export const networkLabel = 'topology.istio.io/network'

export type ServicePort = {
  /** Empty where the only port of a Service has no name. */
  name: string
  port: number
  /** TCP, UDP or SCTP. */
  protocol: string
  appProtocol: string | undefined
}

/**
 * What the rules read of a v1 Service, with Kubernetes' defaults filled in. Two Services with equal projections are the same to
 * every rule.
 */
export type Service = NamespacedName & {
  virtualHostLabel: string | undefined
  /** Whether the network label names a network. */
  hasNetworkLabel: boolean
  /** An owner reference with `controller: true`: some controller, Knative for one, made this Service. */
  hasController: boolean
  type: string
  /** `None` for a headless Service; undefined before the API server assigned one. */
  clusterIP: string | undefined
  hasSelector: boolean
  ports: readonly ServicePort[]
  /** What an ExternalName Service stands for; empty for all others. */
  externalName: string
  /** The namespaces that see it in the mesh (annotation networking.istio.io/exportTo): `.`, `*`, `~` or names; empty for the default. */
  exportTo: readonly string[]
  /** spec.ipFamilies as 4 and 6, the primary one first; empty before the API server has said them. */
  ipFamilies: readonly (4 | 6)[]
  /** Whether its ipFamilyPolicy asks for an address of each family. */
  isDualStack: boolean
  /** In canonical form. */
  externalIPs: readonly string[]
  /** status.loadBalancer.ingress[].ip, in canonical form. */
  loadBalancerIPs: readonly string[]
}

/** Istio 1.31 pilot/pkg/serviceregistry/kube/conversion.go, ConvertService. */
const readExportTo = (metadata: Fields): readonly string[] => {
  const annotation = metadata.has('annotations') ? metadata.object('annotations').string(exportToAnnotation) : undefined
  return annotation ? annotation.split(',').map((namespace) => namespace.trim()) : none
}

/** One of each list for all Services that have it. */
const ipFamilies: ReadonlyMap<string, readonly (4 | 6)[]> = new Map([
  ['IPv4', [4]],
  ['IPv6', [6]],
  ['IPv4,IPv6', [4, 6]],
  ['IPv6,IPv4', [6, 4]],
])

const noFamilies: readonly (4 | 6)[] = []

/** Projects a v1 Service. Throws MalformedObject. */
export const parseService = (object: unknown): Service => {
  const fields = new Fields(object)
  const metadata = fields.object('metadata')
  const labels = metadata.stringMap('labels')
  const spec = fields.object('spec')
  return {
    ...readName(fields),
    virtualHostLabel: labels.get(virtualHostLabel),
    hasNetworkLabel: (labels.get(networkLabel) ?? '') !== '',
    hasController: metadata.list('ownerReferences', (owner) => owner.boolean('controller') ?? false).includes(true),
    type: spec.string('type') ?? 'ClusterIP',
    clusterIP: spec.string('clusterIP') || undefined,
    hasSelector: spec.stringMap('selector').size > 0,
    ports: spec.list('ports', (port) => ({
      name: port.string('name') ?? '',
      port: port.number('port') ?? 0,
      protocol: port.string('protocol') ?? 'TCP',
      appProtocol: port.string('appProtocol'),
    })),
    externalName: spec.string('type') === 'ExternalName' ? (spec.string('externalName') ?? '') : '',
    exportTo: readExportTo(metadata),
    ipFamilies: ipFamilies.get(spec.strings('ipFamilies').join()) ?? noFamilies,
    isDualStack: ['PreferDualStack', 'RequireDualStack'].includes(spec.string('ipFamilyPolicy') ?? ''),
    externalIPs: spec.strings('externalIPs').map(canonicalAddress),
    loadBalancerIPs: fields
      .object('status')
      .object('loadBalancer')
      .list('ingress', (ingress) => canonicalAddress(ingress.string('ip') ?? ''))
      .filter((ip) => ip !== ''),
  }
}

/**
 * Whether by its own fields a Service is or could be a virtual host: it is labelled as one, or nothing says that anything stands
 * behind it. The rest is its namespace's and its endpoints' to say (rules/virtual-host.ts).
 */
export const mayBeVirtualHost = (service: Service): boolean =>
  service.virtualHostLabel === 'true' ||
  (service.virtualHostLabel !== 'false' &&
    canHaveAddress(service) &&
    !service.hasSelector &&
    !service.hasController &&
    !(service.namespace === 'default' && service.name === 'kubernetes'))

export const isHeadless = (service: Service): boolean => service.clusterIP === 'None'

/** Whether a Service can have an address of the pool: Kubernetes reads external IPs over on all others, or gives them another sense. */
export const canHaveAddress = (service: Service): boolean => service.type === 'ClusterIP' && !isHeadless(service)

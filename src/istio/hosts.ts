import type { NamespacedName } from '../api/metadata.ts'
import type { VirtualService } from '../api/virtual-service.ts'

/** The host by which Istio knows a Service. Istio 1.31 pilot/pkg/serviceregistry/kube/conversion.go, ServiceHostname. */
export const serviceHost = ({ namespace, name }: NamespacedName, clusterDomain: string): string =>
  `${name}.${namespace}.svc.${clusterDomain}`

/** The Service that a fully qualified, lower-case host names; undefined for any other host. */
export const parseServiceHost = (host: string, clusterDomain: string): NamespacedName | undefined => {
  const suffix = `.svc.${clusterDomain}`
  if (!host.endsWith(suffix)) return undefined
  const [name, namespace, ...rest] = host.slice(0, -suffix.length).split('.')
  return name && namespace && rest.length === 0 ? { namespace, name } : undefined
}

/** Whether a host lies in the cluster's own domain, whether or not it can name a Service. */
export const isClusterLocal = (host: string, clusterDomain: string): boolean => host.endsWith(`.svc.${clusterDomain}`)

/**
 * Expands a host without dot, and only such a one, by the namespace of the object that it stands in.
 * Istio 1.31 pilot/pkg/model/config.go, ResolveShortnameToFQDN.
 */
export const resolveShortName = (host: string, namespace: string, clusterDomain: string): string =>
  host === '' || host === '*' || host.includes('.') || host.includes(':')
    ? host
    : serviceHost({ namespace, name: host }, clusterDomain)

/** The hosts that a VirtualService lists, expanded, in the spelling in which they stand there. */
export const hostsOf = ({ hosts, namespace }: VirtualService, { clusterDomain }: Mesh): string[] =>
  hosts.map((host) => resolveShortName(host, namespace, clusterDomain))

export const isWildcard = (host: string): boolean => host.startsWith('*')

/** Whether a host falls under a pattern: the same host, or any under a wildcard such as `*.shop.svc.cluster.local`. */
export const matchesHost = (pattern: string, host: string): boolean =>
  isWildcard(pattern) ? host.endsWith(pattern.slice(1)) : pattern === host

/** Whether two hosts meet: the same, or one under the other. Istio 1.31 pkg/config/host/name.go, Matches. */
export const matchesEitherWay = (a: string, b: string): boolean => matchesHost(a, b) || matchesHost(b, a)

/** What must be known of a mesh to read its hosts. */
export type Mesh = {
  /** The domain of the cluster's DNS. */
  readonly clusterDomain: string
  /** Patterns of hosts that this cluster cannot show, in lower case: of other clusters, or that istiod does not discover. */
  readonly foreignHosts: readonly string[]
  /** Where DestinationRules for the whole mesh are (MeshConfig.rootNamespace). */
  readonly rootNamespace: string
}

/** Whether a host that is not found here, or what lies under it, may be there all the same. In lower case. */
export const isForeign = (host: string, { foreignHosts }: Mesh): boolean =>
  foreignHosts.some((pattern) => matchesEitherWay(pattern, host))

export const isIPAddress = (host: string): boolean => host.includes(':') || /^\d+(\.\d+){3}$/.test(host)

/**
 * The Service that a dotted host seems to mean although Istio takes it for the name of something else: `svc.ns`, `svc.ns.svc`,
 * any of Kubernetes' names with a trailing dot or in upper case. Undefined where it looks like no Service.
 */
export const intendedService = (host: string, namespace: string, clusterDomain: string): NamespacedName | undefined => {
  if (isWildcard(host)) return undefined
  const name = host.toLowerCase().replace(/\.$/, '')
  const full = resolveShortName(name, namespace, clusterDomain)
  const stem = [`.svc.${clusterDomain}`, '.svc'].find((suffix) => full.endsWith(suffix)) ?? ''
  const labels = full.slice(0, full.length - stem.length).split('.')
  const [service, serviceNamespace] = labels
  return labels.length === 2 && service && serviceNamespace ? { namespace: serviceNamespace, name: service } : undefined
}

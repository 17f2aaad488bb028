import { sameName } from '../api/metadata.ts'
import { mayBeVirtualHost, type Service } from '../api/service.ts'
import type { VirtualService } from '../api/virtual-service.ts'
import { type Emission, isOnMesh } from '../istio/emission.ts'
import { parseServiceHost, resolveShortName, serviceHost } from '../istio/hosts.ts'
import { isInjected } from '../istio/injection.ts'
import type { ClusterView } from '../view/view.ts'
import type { Policy } from './policy.ts'

/** Namespaces that are never the mesh's users', whatever their labels say. */
export const systemNamespaces: readonly string[] = ['kube-system', 'istio-system']

/** Whether a namespace belongs to the mesh: Istio injects sidecars into it. */
export const isSelected = (namespace: string, view: ClusterView): boolean => {
  if (systemNamespaces.includes(namespace)) return false
  const labels = view.namespace(namespace)?.labels
  return labels === undefined ? view.unlistedNamespacesSelected : isInjected(labels)
}

/** How a Service came to be a virtual host; undefined where it is an ordinary one. */
export type VirtualHostBy = 'label' | 'inference' | undefined

/**
 * Whether a Service is a virtual host: by label, or because nothing could ever stand behind its address but routes. Asks for the
 * namespace and the endpoints only where everything else fits.
 */
export const virtualHostBy = (
  service: Service,
  view: ClusterView,
  { virtualHosts }: Pick<Policy, 'virtualHosts'>,
): VirtualHostBy => {
  if (service.virtualHostLabel === 'true') return 'label'
  if (virtualHosts !== 'inferred' || !mayBeVirtualHost(service) || !isSelected(service.namespace, view))
    return undefined
  // Slices are mirrored from Endpoints only once the Service is there.
  const slices = view.endpointSlices(service)
  const endpoints = view.endpoints(service)
  const hasEndpoints = slices.some(({ madeByHand }) => madeByHand) || endpoints?.madeByHand === true
  return hasEndpoints ? undefined : 'inference'
}

/** Whose business a VirtualService is: a virtual host's, another Service's on the mesh, or none of ours. */
export type Scope = 'virtual-host' | 'other' | 'none'

/** Whether some other VirtualService serves this host on the mesh. */
const isServedElsewhere = (host: string, virtualService: VirtualService, view: ClusterView): boolean =>
  view.virtualServices(host).some((other) => !sameName(other, virtualService) && isOnMesh(other))

export const virtualServiceScope = (
  virtualService: VirtualService,
  emission: Emission,
  view: ClusterView,
  policy: Policy,
): Scope => {
  const isVirtualHost = (service: Service | undefined) =>
    service !== undefined && virtualHostBy(service, view, policy) !== undefined
  if (emission.onMesh) {
    // A delegate has no hosts: it is judged as part of the roots that use it.
    if (virtualService.hosts.length === 0) return 'none'
    return emission.targets.some(({ service }) => isVirtualHost(service)) ||
      emission.hosts.some(
        (host) =>
          host.kind === 'missing' ||
          (host.kind === 'form' && host.means !== undefined && isVirtualHost(view.service(host.means))),
      )
      ? 'virtual-host'
      : 'other'
  }
  return virtualService.hosts.some((host) => {
    const full = resolveShortName(host, virtualService.namespace, policy.clusterDomain).toLowerCase()
    const name = parseServiceHost(full, policy.clusterDomain)
    return (
      name !== undefined &&
      isVirtualHost(view.service(name)) &&
      !isServedElsewhere(serviceHost(name, policy.clusterDomain), virtualService, view)
    )
  })
    ? 'virtual-host'
    : 'none'
}

import { type NamespacedName, sameName } from '../api/metadata.ts'
import { mayBeVirtualHost, type Service } from '../api/service.ts'
import type { VirtualService } from '../api/virtual-service.ts'
import { isOnMesh } from '../istio/client.ts'
import type { Emission } from '../istio/emission.ts'
import { hostsOf, parseServiceHost } from '../istio/hosts.ts'
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

/** Whether there is a Service of this name, and it is a virtual host. */
export const isVirtualHost = (name: NamespacedName, view: ClusterView, policy: Policy): boolean => {
  const service = view.service(name)
  return service !== undefined && virtualHostBy(service, view, policy) !== undefined
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
  // Each is asked about, also behind one that is: what must be read for it is then read together.
  const isAny = (candidates: readonly (Service | undefined)[]): boolean =>
    candidates
      .map((service) => service !== undefined && virtualHostBy(service, view, policy) !== undefined)
      .includes(true)
  if (emission.onMesh) {
    // A delegate has no hosts: it is judged as part of the roots that use it.
    if (virtualService.hosts.length === 0) return 'none'
    const candidates = [
      ...emission.targets.map(({ service }) => service),
      ...emission.hosts.map((host) =>
        host.kind === 'form' && host.means !== undefined ? view.service(host.means) : undefined,
      ),
    ]
    const isMissing = emission.hosts.some(({ kind }) => kind === 'missing')
    return isMissing || isAny(candidates) ? 'virtual-host' : 'other'
  }
  const named = hostsOf(virtualService, policy).flatMap((host) => {
    const name = parseServiceHost(host.toLowerCase(), policy.clusterDomain)
    return name === undefined || isServedElsewhere(host.toLowerCase(), virtualService, view) ? [] : [view.service(name)]
  })
  return isAny(named) ? 'virtual-host' : 'none'
}

import type { VirtualService } from '../api/virtual-service.ts'
import type { ClusterView } from '../view/view.ts'
import { type Client, elsewhere } from './client.ts'
import { type Emission, emit } from './emission.ts'
import { type Mesh, parseServiceHost, resolveShortName } from './hosts.ts'
import { isPublic, isVisible } from './visibility.ts'

/** More namespaces than these are not looked at one by one. */
const maxClients = 10

const anyPodIn = (namespace: string): Client => ({ namespace, labels: 'any' })

/** What the clients of a VirtualService are given: one emission for all where they are given the same, else one for each that differs. `delegate` is a delegate of it as it is about to be. */
export const emissionsFor = (
  virtualService: VirtualService,
  view: ClusterView,
  mesh: Mesh,
  delegate?: VirtualService,
): Emission[] => {
  const { namespace, exportTo, routes } = virtualService
  const named = exportTo.map((one) => (one === '.' ? namespace : one)).filter((one) => one !== '*' && one !== '~')
  const [first = namespace] = [namespace, ...named].filter((one) => isVisible(one, virtualService))
  const emission = emit(virtualService, anyPodIn(first), view, mesh, delegate)
  if (!emission.differs) return [emission]
  const sources = routes.flatMap(({ matches }) => matches.map(({ sourceNamespace }) => sourceNamespace))
  const owners = emission.hosts.flatMap((host): string[] => {
    if (host.kind === 'resolved') return host.targets.map((target) => target.namespace)
    const hidden = resolveShortName(host.host, namespace, mesh.clusterDomain).toLowerCase()
    return host.kind === 'hidden' ? [parseServiceHost(hidden, mesh.clusterDomain)?.namespace ?? namespace] : []
  })
  const others = [
    ...(isPublic(virtualService) ? [elsewhere] : []),
    ...named,
    ...sources.filter((source) => source !== ''),
    ...owners,
  ].filter((one) => one !== first && isVisible(one, virtualService))
  return [
    emission,
    ...[...new Set(others)]
      .slice(0, maxClients)
      .map((one) => emit(virtualService, anyPodIn(one), view, mesh, delegate)),
  ]
}

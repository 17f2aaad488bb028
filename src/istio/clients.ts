import type { VirtualService } from '../api/virtual-service.ts'
import type { ClusterView } from '../view/view.ts'
import { type Client, elsewhere } from './client.ts'
import { type Emission, emit } from './emission.ts'
import type { Mesh } from './hosts.ts'
import { isPublic, isVisible } from './visibility.ts'

/** More namespaces than these are not looked at one by one. */
const maxClients = 10

const anyPodIn = (namespace: string): Client => ({ namespace, labels: 'any' })

/**
 * What the clients of a VirtualService are given: one emission for all where they are given the same, else one for each that differs.
 * `delegate` is a delegate of it as it is about to be.
 */
export const emissionsFor = (
  virtualService: VirtualService,
  view: ClusterView,
  mesh: Mesh,
  delegate?: VirtualService,
): Emission[] => {
  const { namespace, exportTo } = virtualService
  const named = exportTo.map((one) => (one === '.' ? namespace : one)).filter((one) => one !== '*' && one !== '~')
  const [first = namespace] = [namespace, ...named].filter((one) => isVisible(one, virtualService))
  const emission = emit(virtualService, anyPodIn(first), view, mesh, delegate)
  if (emission.namespaces.size === 0) return [emission]
  const others = [
    ...(isPublic(virtualService) ? [elsewhere] : []),
    ...[...emission.namespaces, ...named].filter((one) => one !== first && isVisible(one, virtualService)),
  ]
  const some = [...new Set(others)].slice(0, maxClients)
  return [emission, ...some.map((one) => emit(virtualService, anyPodIn(one), view, mesh, delegate))]
}

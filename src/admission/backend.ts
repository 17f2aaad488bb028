import type { KnownObject } from '../api/kinds.ts'
import type { NamespacedName } from '../api/metadata.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import type { ObjectStore } from '../view/object-store.ts'
import { ReadThroughCluster } from '../view/read-through.ts'
import type { Cluster } from '../view/view.ts'
import { type Claims, IPAddressClaims, MemoryClaims } from '../vip/claims.ts'

/** What an admission is decided against. */
export type Backend = {
  cluster: Cluster
  claims: Claims
  /** Told of what was admitted for good. A live cluster learns it from the API server. */
  admitted(object: KnownObject): void
  /** Told of what is deleted. */
  deleted(kind: 'Service' | 'VirtualService', name: NamespacedName): void
}

/** A cluster in memory, which nobody else changes: what is admitted enters it. */
export const memoryBackend = (store: ObjectStore): Backend => ({
  cluster: { ask: async (question) => question(store) },
  claims: new MemoryClaims(store),
  admitted: (object) => store.put(object),
  deleted: (kind, name) => {
    store.delete(kind, name)
    // Nobody collects the claims of a cluster in memory.
    if (kind === 'Service')
      for (const claim of store.claimsOf(name)) store.delete('IPAddress', { namespace: '', name: claim })
  },
})

/** A live cluster. */
export const liveBackend = (client: KubernetesClient, clusterDomain: string): Backend => ({
  cluster: new ReadThroughCluster(client, clusterDomain),
  claims: new IPAddressClaims(client),
  admitted: () => {},
  deleted: () => {},
})

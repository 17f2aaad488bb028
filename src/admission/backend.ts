import type { Kind, KnownObject } from '../api/kinds.ts'
import type { NamespacedName } from '../api/metadata.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import type { ObjectStore } from '../view/object-store.ts'
import type { Cluster } from '../view/view.ts'
import { WatchedCluster, type WatchedOptions } from '../view/watched.ts'
import { type Claims, IPAddressClaims, MemoryClaims } from '../vip/claims.ts'
import type { Pool } from '../vip/pool.ts'

/** How a virtual host was given an address, or was not. */
export type AllocationOutcome = {
  service: NamespacedName
  /** Those out of which it could be. */
  pools: readonly Pool[]
  /** Undefined where the pools are full. */
  address: string | undefined
  dryRun: boolean
  /** How often another was faster to claim what was chosen. */
  conflicts: number
  milliseconds: number
}

/** What an admission is decided against. */
export type Backend = {
  cluster: Cluster
  claims: Claims
  /** Told of each address that was asked for. */
  onAllocation?(outcome: AllocationOutcome): void
  /** Told of what was admitted for good. A live cluster learns it from the API server. */
  admitted(object: KnownObject): void
  /** Told of what is deleted. */
  deleted(kind: Kind, name: NamespacedName): void
  /** Whether the cluster can be asked at all. */
  isReachable(signal: AbortSignal): Promise<boolean>
}

/** Lets go of the claims of a Service beside those on these addresses: nobody else collects them in a cluster in memory. */
const release = (store: ObjectStore, service: NamespacedName, kept: readonly string[]): void => {
  for (const claim of store.claimsOf(service)) {
    if (!kept.includes(claim)) store.delete('IPAddress', { namespace: '', name: claim })
  }
}

/** A cluster in memory, which nobody else changes: what is admitted enters it. */
export const memoryBackend = (store: ObjectStore): Backend => ({
  cluster: { ask: async (question) => question(store), decide: async (question) => question(store) },
  claims: new MemoryClaims(store),
  admitted: (known) => {
    store.put(known)
    if (known.kind === 'Service') release(store, known.object, known.object.externalIPs)
  },
  deleted: (kind, name) => {
    store.delete(kind, name)
    if (kind === 'Service') release(store, name, [])
  },
  isReachable: async () => true,
})

/** A live cluster. It is in view once `cluster.run` is under way, and read at each question until then. */
export const liveBackend = (options: WatchedOptions): Backend & { cluster: WatchedCluster } => {
  const { client } = options
  const cluster = new WatchedCluster(options)
  return {
    cluster,
    claims: new IPAddressClaims(client, (claim) => cluster.learn('IPAddress', claim)),
    admitted: () => {},
    deleted: () => {},
    isReachable: async (signal) => cluster.isCurrent || isReadable(client, signal),
  }
}

/** Whether the API server answers a read. */
const isReadable = async (client: KubernetesClient, signal: AbortSignal): Promise<boolean> => {
  try {
    await client.get('Namespace', { namespace: '', name: 'default' }, signal)
    return true
  } catch {
    // Whatever the reason: it is told by the reviews that fail, and by the watches.
    return false
  }
}

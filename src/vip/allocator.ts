import { formatName, type NamespacedName } from '../api/metadata.ts'
import type { Cluster } from '../view/view.ts'
import type { Claims } from './claims.ts'
import { otherHolder } from './holders.ts'
import type { Pool } from './pool.ts'
import { candidateAddresses, inPool } from './pools.ts'

export type Allocation = {
  cluster: Cluster
  claims: Claims
  pools: readonly Pool[]
  dryRun: boolean
  signal: AbortSignal
}

/**
 * Gives a Service an address of the pools and claims it: the one that it had, else one that is claimed for it already, else the
 * first of its candidates that nobody holds. The candidates depend on the name alone, so that a retry, another replica and a dry
 * run all come to the same address. Undefined where the pools are full. Rejects where the cluster cannot be reached in time.
 */
export const allocate = async (
  service: NamespacedName,
  previous: readonly string[],
  { cluster, claims, pools, dryRun, signal }: Allocation,
): Promise<string | undefined> => {
  const lost = new Set<string>()
  for (;;) {
    const address = await cluster.ask((view) => {
      const own = [...previous, ...view.claimsOf(service)].filter((candidate) => inPool(pools, candidate))
      const usable = (candidate: string) =>
        !lost.has(candidate) && otherHolder(candidate, service, pools, view) === undefined
      const kept = own.find(usable)
      if (kept !== undefined) return kept
      for (const candidate of candidateAddresses(pools, formatName(service))) if (usable(candidate)) return candidate
      return undefined
    }, signal)
    if (address === undefined) return undefined
    if (await claims.claim(address, service, { dryRun, signal })) return address
    // Somebody was faster, or holds it by a claim that is not ours to see.
    lost.add(address)
  }
}

import type { Block } from '../api/address.ts'
import { formatName, type NamespacedName } from '../api/metadata.ts'
import type { Cluster, ClusterView } from '../view/view.ts'
import type { Claims } from './claims.ts'
import type { Family } from './families.ts'
import { isHeld, otherHolder } from './holders.ts'
import type { Pool } from './pool.ts'
import { candidateAddresses, inPool, poolOf, poolsFor } from './pools.ts'

export type Allocation = {
  cluster: Cluster
  claims: Claims
  /** All pools of the configuration, also those that are not for the Service's namespace. */
  pools: readonly Pool[]
  dryRun: boolean
  signal: AbortSignal
  /** Told of each address that another was faster to claim. */
  onConflict?(address: string): void
}

/**
 * Gives a Service an address of a family and claims it: the one that it had, else one that is claimed for it already, else the first
 * of its candidates that nobody holds. The candidates depend on the name alone, so that a retry, another replica and a dry run all
 * come to the same address. Undefined where the pools are full. Rejects where the cluster cannot be reached in time.
 */
export const allocate = async (
  service: NamespacedName,
  family: Family,
  previous: readonly string[],
  { cluster, claims, pools, dryRun, signal, onConflict }: Allocation,
): Promise<string | undefined> => {
  const lost = new Set<string>()
  const usableIn = (view: ClusterView) => (candidate: string) =>
    !lost.has(candidate) && otherHolder(candidate, service, pools, view) === undefined
  const choose = (view: ClusterView): string | undefined => {
    const isUsable = usableIn(view)
    const usable = poolsFor(pools, service.namespace, view).filter((pool) => pool.family === family)
    // A claim alone is of use only where the address would be admitted.
    const claimed = view.claimsOf(service).find((address) => inPool(usable, address) && isUsable(address))
    if (claimed !== undefined) return claimed
    // Nearly always the very first is free; what else is held is looked at only where it is not.
    const [first] = candidateAddresses(usable, formatName(service)).take(1)
    if (first === undefined || isUsable(first)) return first
    const isFull = (block: Block) => isHeld(view.heldWithin(block), block, pools)
    return candidateAddresses(usable, formatName(service), isFull).find(isUsable)
  }
  for (;;) {
    signal.throwIfAborted()
    // What it had it keeps, whomever the pool is for by now.
    const had = previous.filter((address) => poolOf(pools, address)?.family === family && !lost.has(address))
    // A view that is behind may still show who had it before: on hearsay no address is given up.
    const kept =
      had.length === 0
        ? undefined
        : await cluster.decide(
            (view) => had.find(usableIn(view)),
            (usable) => usable === undefined,
            signal,
          )
    const address = kept ?? (await cluster.ask(choose, signal))
    if (address === undefined || (await claims.claim(address, service, { dryRun, signal }))) return address
    // Somebody was faster, or holds it by a claim that is not ours to see.
    lost.add(address)
    onConflict?.(address)
  }
}

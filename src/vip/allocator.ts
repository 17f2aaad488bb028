import { setImmediate } from 'node:timers/promises'
import { formatName, type NamespacedName } from '../api/metadata.ts'
import type { Cluster, ClusterView } from '../view/view.ts'
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

/** How many candidates are looked at first, since one of these is nearly always free, and at most without a pause. */
const candidatesAtATime = { first: 4, most: 1_000 }

/** The next so many of them; none at the end. (Iterator.prototype.take would close the generator.) */
const take = (candidates: Iterator<string>, count: number): string[] => {
  const some: string[] = []
  while (some.length < count) {
    const { done, value } = candidates.next()
    if (done) break
    some.push(value)
  }
  return some
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
  const isUsable = (view: ClusterView) => (candidate: string) =>
    !lost.has(candidate) && otherHolder(candidate, service, pools, view) === undefined
  const own = (view: ClusterView) =>
    [...previous, ...view.claimsOf(service)].filter((candidate) => inPool(pools, candidate)).find(isUsable(view))
  let kept = await cluster.ask(own, signal)
  while (kept !== undefined) {
    if (await claims.claim(kept, service, { dryRun, signal })) return kept
    // Somebody was faster, or holds it by a claim that is not ours to see.
    lost.add(kept)
    kept = await cluster.ask(own, signal)
  }
  const candidates = candidateAddresses(pools, formatName(service))
  for (let count = candidatesAtATime.first; ; count = candidatesAtATime.most) {
    const some = take(candidates, count)
    if (some.length === 0) return undefined
    for (;;) {
      const address = await cluster.ask((view) => some.find(isUsable(view)), signal)
      if (address === undefined) break
      if (await claims.claim(address, service, { dryRun, signal })) return address
      lost.add(address)
    }
    // A pool may be large and full: others are answered meanwhile, and the time may be over.
    await setImmediate()
    signal.throwIfAborted()
  }
}

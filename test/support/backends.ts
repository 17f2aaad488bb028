import { type Backend, memoryBackend } from '../../src/admission/backend.ts'
import type { Circumstances } from '../../src/admission/judgement.ts'
import { parseObject } from '../../src/api/kinds.ts'
import { defaultPolicy, type Policy } from '../../src/rules/policy.ts'
import { ObjectStore } from '../../src/view/object-store.ts'
import { createPool } from '../../src/vip/pools.ts'

export const storeOf = (...objects: object[]): ObjectStore => {
  const store = new ObjectStore({ clusterDomain: 'cluster.local', unlistedNamespacesSelected: true })
  for (const object of objects) {
    const known = parseObject(object)
    if (known === undefined) throw new Error(`no rule reads ${JSON.stringify(object)}`)
    store.put(known)
  }
  return store
}

/** A cluster in memory with these objects in it. */
export const memory = (...objects: object[]): Backend => memoryBackend(storeOf(...objects))

export const policyWithPool = (cidr: string): Policy => ({ ...defaultPolicy, pools: [createPool({ cidr })] })

/** What a review is answered under, with ten seconds for it. */
export const under = (policy: Policy = defaultPolicy): Omit<Circumstances, 'cluster'> => ({
  policy,
  signal: AbortSignal.timeout(10_000),
})

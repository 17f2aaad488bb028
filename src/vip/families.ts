import type { Service } from '../api/service.ts'
import type { Pool } from './pool.ts'
import { poolOf } from './pools.ts'

export type Family = Pool['family']

/** The addresses of the pools that somebody has, the first of each family. */
export const ownAddresses = (externalIPs: readonly string[], pools: readonly Pool[]): ReadonlyMap<Family, string> => {
  const own = new Map<Family, string>()
  for (const address of externalIPs) {
    const pool = poolOf(pools, address)
    if (pool !== undefined && !own.has(pool.family)) own.set(pool.family, address)
  }
  return own
}

/**
 * The families of which a virtual host lacks an address. One of dual stack has one of each that `usable` pools are of. Any other has
 * one: of the family that it had before, else of its own first family, else of the first pool's, since before the API server has
 * stored it nobody can tell which family is the cluster's.
 */
export const missingFamilies = (
  service: Service,
  before: Pick<Service, 'externalIPs'> | undefined,
  pools: readonly Pool[],
  usable: readonly Pool[],
): Family[] => {
  const own = ownAddresses(service.externalIPs, pools)
  const offered = [...new Set(usable.map(({ family }) => family))]
  if (service.isDualStack) return offered.filter((family) => !own.has(family))
  if (own.size > 0) return []
  const [had] = ownAddresses(before?.externalIPs ?? [], pools).keys()
  const [wanted] = [had, ...service.ipFamilies].filter((family) => family !== undefined && offered.includes(family))
  return [wanted ?? offered[0]].filter((family) => family !== undefined)
}

import { type AddressRange, covers, parseAddress } from '../api/address.ts'
import type { IPAddress } from '../api/ip-address.ts'
import { formatName, type NamespacedName, sameName } from '../api/metadata.ts'
import { mayBeVirtualHost, type Service } from '../api/service.ts'
import type { AddressHolder } from '../view/address-index.ts'
import type { Holder } from '../view/view.ts'
import { takesIn } from './holders.ts'
import { type Pool, poolSize } from './pool.ts'
import { poolOf } from './pools.ts'

/**
 * held: one Service lists it, and its claim is for that one. unclaimed: one Service lists it, and nothing keeps others from getting it.
 * orphaned: it is claimed for a Service that is not there, or does not list it, and nobody else has it. duplicate: several have it, a
 * Service that lists it among them. foreign: no Service lists it, and something else has it: ServiceEntries, load balancers, a claim
 * that is for no Service. outside: it is of no pool, and of a Service that may be a virtual host.
 */
export type AddressState = 'held' | 'unclaimed' | 'orphaned' | 'duplicate' | 'foreign' | 'outside'

/** One address, and who has it. */
export type AddressRecord = {
  address: string
  /** Undefined where it is of none: outside, or claimed while it was of one. */
  pool: Pool | undefined
  state: AddressState
  claim: IPAddress | undefined
  /** The Services that list it in `externalIPs`. */
  services: readonly NamespacedName[]
  /** Whoever else has it: ServiceEntries, load balancers, what a claim is for that is no Service. For messages. */
  others: readonly string[]
}

/** How much of a pool is used. */
export type PoolUsage = {
  pool: Pool
  /** How many addresses can be handed out, */
  size: bigint
  /** of which so many are held by anybody, */
  used: number
  /** and so many by nobody. */
  free: bigint
  /** How many addresses of the range are never handed out. */
  reserved: bigint
}

/** What a ledger is made of. */
export type Addresses = {
  /** Every address that somebody has, in canonical form. */
  heldAddresses(): Iterable<readonly [address: string, holders: readonly AddressHolder[]]>
  /** All who have it, those with a range around it included. */
  holders(address: string): readonly Holder[]
}

const stateOf = (
  claim: IPAddress | undefined,
  services: readonly NamespacedName[],
  others: readonly string[],
): AddressState => {
  const [service] = services
  if (service === undefined) return others.length > 0 ? 'foreign' : 'orphaned'
  if (services.length + others.length > 1) return 'duplicate'
  return claim?.service !== undefined && sameName(claim.service, service) ? 'held' : 'unclaimed'
}

/**
 * The addresses of the pools that anybody has, those that are claimed, and those of no pool that are of Services which may be virtual
 * hosts.
 */
export const ledger = (
  addresses: Addresses,
  { pools, allowedExternalIPs }: { pools: readonly Pool[]; allowedExternalIPs: readonly AddressRange[] },
): AddressRecord[] => {
  const isAllowed = (address: string): boolean => {
    const parsed = parseAddress(address)
    return parsed !== undefined && allowedExternalIPs.some((range) => covers(range, parsed))
  }
  // As sets: a list may be as long as an object is large, and is asked about each of its addresses.
  const listed = new Map<Service, ReadonlySet<string>>()
  const isOf = (address: string, service: Service): boolean => {
    const known = listed.get(service) ?? new Set(service.externalIPs)
    listed.set(service, known)
    return known.has(address)
  }
  const records: AddressRecord[] = []
  for (const [address, holders] of addresses.heldAddresses()) {
    const pool = poolOf(pools, address)
    const claim = holders.flatMap((holder) => (holder.kind === 'IPAddress' ? [holder.object] : []))[0]
    const ofServices = holders.flatMap((holder) => (holder.kind === 'Service' ? [holder.object] : []))
    const listing = ofServices.filter((service) => isOf(address, service))
    const isOutside = pool === undefined && listing.some(mayBeVirtualHost) && !isAllowed(address)
    // Of no pool, and none of ours.
    if (pool === undefined && !isOutside && claim?.service === undefined) continue
    const entries = addresses
      .holders(address)
      .filter(({ kind, range }) => kind === 'ServiceEntry' && (range === undefined || !takesIn(range, pools)))
    const others = [
      ...ofServices
        .filter((service) => !isOf(address, service))
        .map((service) => `load balancer of Service ${formatName(service)}`),
      // One may have it by itself and in a range.
      ...new Set(entries.map(({ text }) => text)),
      ...(claim !== undefined && claim.service === undefined ? [claim.parent] : []),
    ]
    const services = listing.map(({ namespace, name }) => ({ namespace, name }))
    const state = isOutside ? 'outside' : stateOf(claim, services, others)
    records.push({ address, pool, state, claim, services, others })
  }
  return records
}

/** How much of each pool is used. */
export const usageOf = (pools: readonly Pool[], records: readonly AddressRecord[]): PoolUsage[] => {
  const used = Map.groupBy(records, ({ pool }) => pool)
  return pools.map((pool) => {
    const size = poolSize(pool)
    const count = used.get(pool)?.length ?? 0
    return { pool, size, used: count, free: size - BigInt(count), reserved: pool.last - pool.first + 1n - size }
  })
}

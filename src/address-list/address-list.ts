import { type Address, parseAddress } from '../api/address.ts'
import type { NamespacedName } from '../api/metadata.ts'
import type { Policy } from '../rules/policy.ts'
import { isVirtualHost } from '../rules/virtual-host.ts'
import type { ClusterView } from '../view/view.ts'
import {
  type Addresses,
  type AddressRecord,
  type AddressState,
  ledger,
  type PoolUsage,
  usageOf,
} from '../vip/ledger.ts'

/**
 * How much of a pool is used. Counts that may be as large as the pool are decimal strings, whatever their size: a program reads a field
 * in one way, and no number of JSON holds 2^80.
 */
export type PoolEntry = {
  /** The range in CIDR notation. */
  cidr: string
  /** How many addresses can be handed out. */
  size: string
  /** How many of them anybody has. */
  used: number
  /** How many of them nobody has. */
  free: string
  /** How many addresses of the range are never handed out. */
  reserved: string
}

/** One address, and who has it. A field that may be left out is so where there is nothing to say. */
export type AddressEntry = {
  address: string
  /** The range of its pool; left out where it is of none. */
  pool?: string
  state: AddressState
  /** The Services that list it in `externalIPs`. */
  services: NamespacedName[]
  /** Whoever else has it, as text. */
  others: string[]
  /** The IPAddress object of its name. */
  claim?: {
    /** What the claim is for, as text. */
    parent: string
    /** The same where it is a Service. */
    service?: NamespacedName
    /** When it was last claimed, RFC 3339. */
    claimedAt?: string
  }
}

/** What `meshvip vips` writes as JSON and YAML. Fields may be added within a version; none is renamed or changes its type. */
export type AddressList = {
  apiVersion: 'meshvip.dev/v1'
  kind: 'AddressList'
  /** In the order of the configuration. */
  pools: PoolEntry[]
  /** In numerical order, IPv4 before IPv6; what is no address comes last. */
  addresses: AddressEntry[]
}

const poolEntry = ({ pool, size, used, free, reserved }: PoolUsage): PoolEntry => ({
  cidr: pool.cidr,
  size: String(size),
  used,
  free: String(free),
  reserved: String(reserved),
})

const addressEntry = ({ address, pool, state, claim, services, others }: AddressRecord): AddressEntry => ({
  address,
  ...(pool === undefined ? {} : { pool: pool.cidr }),
  state,
  services: [...services],
  others: [...others],
  ...(claim === undefined
    ? {}
    : {
        claim: {
          parent: claim.parent,
          ...(claim.service === undefined ? {} : { service: claim.service }),
          ...(claim.claimedAt === '' ? {} : { claimedAt: claim.claimedAt }),
        },
      }),
})

const compareAddresses = (a: Address, b: Address): number =>
  a.family - b.family || (a.value < b.value ? -1 : Number(a.value > b.value))

const inNumericalOrder = (records: readonly AddressRecord[]): AddressRecord[] => {
  const parsed = records.map((record) => ({ record, address: parseAddress(record.address) }))
  const [addresses, rest] = [parsed.filter(({ address }) => address), parsed.filter(({ address }) => !address)]
  addresses.sort((a, b) => compareAddresses(a.address as Address, b.address as Address))
  return [...addresses, ...rest].map(({ record }) => record)
}

/**
 * Who has which addresses. Of those outside the pools only the ones of virtual hosts are shown: the ledger goes by the fields of a
 * Service alone, and one with endpoints made by hand, or in a namespace that is none of the mesh's, may have any.
 */
export const addressList = (view: ClusterView & Addresses, policy: Policy): AddressList => {
  const records = ledger(view, policy).flatMap((record) => {
    if (record.state !== 'outside') return [record]
    const services = record.services.filter((name) => isVirtualHost(name, view, policy))
    return services.length === 0 ? [] : [{ ...record, services }]
  })
  return {
    apiVersion: 'meshvip.dev/v1',
    kind: 'AddressList',
    pools: usageOf(policy.pools, records).map(poolEntry),
    addresses: inNumericalOrder(records).map(addressEntry),
  }
}

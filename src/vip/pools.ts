import { formatIPv4, parseCidr, parseIPv4 } from '../api/address.ts'
import { candidates, type Pool, poolContains } from './pool.ts'

/** This network, loopback, link-local and multicast (Kubernetes pkg/apis/core/validation/validation.go, ValidateEndpointIP). */
const uselessRanges = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4'].map((cidr) => ({
  cidr,
  ...parseCidr(cidr),
}))

/**
 * Makes a pool out of a range in CIDR notation. Throws an Error that says why a range cannot be a pool: no IPv4, or too small to
 * have an address beside its network and broadcast address, or with addresses that Kubernetes does not take.
 */
export const createPool = (cidr: string): Pool => {
  const range = parseCidr(cidr)
  if (range.family !== 4) throw new Error(`${cidr} is no IPv4 range`)
  const span = Number(range.last - range.first + 1n)
  const useless = uselessRanges.find(({ first, last }) => range.first <= last && first <= range.last)
  if (useless !== undefined)
    throw new Error(`${cidr} overlaps ${useless.cidr}, of which Kubernetes takes no external IP`)
  if (span < 4) throw new Error(`${cidr} has no address beside its network and broadcast address`)
  return { cidr, network: Number(range.first), span }
}

/** Whether an address, as text, is one that these pools can hand out. */
export const inPool = (pools: readonly Pool[], address: string): boolean => {
  const number = parseIPv4(address)
  return number !== undefined && pools.some((pool) => poolContains(pool, number))
}

/** The addresses to try for a name (`namespace/name`), as text, best first, one pool after the other. */
export function* candidateAddresses(pools: readonly Pool[], name: string): Generator<string> {
  for (const pool of pools) {
    for (const address of candidates(pool, name)) yield formatIPv4(address)
  }
}

/** The ranges of the pools, for messages. */
export const formatPools = (pools: readonly Pool[]): string => pools.map(({ cidr }) => cidr).join(', ')

import {
  type AddressRange,
  type Block,
  formatAddress,
  mergeRanges,
  parseAddress,
  parseCidr,
  rangeAround,
} from '../api/address.ts'
import { type LabelSelector, matchesLabels } from '../api/label-selector.ts'
import type { ClusterView } from '../view/view.ts'
import { candidates, type Pool, poolContains, poolSize } from './pool.ts'

/**
 * Unspecified, loopback, link-local and multicast (Kubernetes pkg/apis/core/validation/validation.go, ValidateEndpointIP), and IPv6
 * addresses that stand for IPv4 ones, which it takes in no spelling.
 */
const uselessRanges = [
  ...['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4'],
  ...['::/127', 'fe80::/10', 'ff00::/8', '::ffff:0:0/96'],
].map((cidr) => ({ cidr, ...parseCidr(cidr) }))

export const overlaps = (a: AddressRange, b: AddressRange): boolean =>
  a.family === b.family && a.first <= b.last && b.first <= a.last

/** A pool as it is written in the configuration. */
export type WrittenPool = { cidr: string; exclude?: readonly string[]; namespaceSelector?: LabelSelector }

/** Parses an address, or a range in CIDR notation, that a pool leaves out. Throws an Error that says what is wrong with it. */
const parseExclusion = (text: string, pool: AddressRange & { cidr: string }): AddressRange => {
  const address = parseAddress(text)
  const range =
    address === undefined ? parseCidr(text) : { family: address.family, first: address.value, last: address.value }
  if (!overlaps(range, pool) || range.first < pool.first || range.last > pool.last)
    throw new Error(`${text} is no part of ${pool.cidr}`)
  return range
}

/**
 * Makes a pool out of a range in CIDR notation. Throws an Error that says why a range cannot be a pool: too small to have an address
 * beside its first and last one, all excluded, or with addresses that Kubernetes does not take.
 */
export const createPool = ({ cidr, exclude = [], namespaceSelector }: WrittenPool): Pool => {
  const range = parseCidr(cidr)
  const useless = uselessRanges.find((other) => overlaps(range, other))
  if (useless !== undefined)
    throw new Error(`${cidr} overlaps ${useless.cidr}, of which Kubernetes takes no external IP`)
  if (range.last - range.first < 3n) throw new Error(`${cidr} has no address beside its first and last one`)
  const excluded = mergeRanges(exclude.map((text) => parseExclusion(text, { cidr, ...range })))
  const pool = { cidr, ...range, excluded, ...(namespaceSelector === undefined ? {} : { namespaceSelector }) }
  if (poolSize(pool) === 0n) throw new Error(`all of ${cidr} is excluded`)
  return pool
}

/** The pool that an address, as text, is of; undefined where it is of none. */
export const poolOf = (pools: readonly Pool[], address: string): Pool | undefined => {
  const parsed = parseAddress(address)
  return parsed === undefined ? undefined : pools.find((pool) => poolContains(pool, parsed))
}

/** Whether an address, as text, is one that these pools can hand out. */
export const inPool = (pools: readonly Pool[], address: string): boolean => poolOf(pools, address) !== undefined

/** Whether a pool is for a namespace. One that the view does not list has no labels; in manifests, which seldom have it, it has any. */
export const isFor = ({ namespaceSelector }: Pool, namespace: string, view: ClusterView): boolean => {
  if (namespaceSelector === undefined) return true
  const labels = view.namespace(namespace)?.labels
  return labels === undefined && view.unlistedNamespacesSelected
    ? true
    : matchesLabels(namespaceSelector, labels ?? new Map())
}

/** The pools out of which Services of a namespace are given their addresses. */
export const poolsFor = (pools: readonly Pool[], namespace: string, view: ClusterView): Pool[] =>
  pools.filter((pool) => isFor(pool, namespace, view))

/**
 * The addresses of a family to try for a name (`namespace/name`), as text, best first, one pool after the other, but for blocks of
 * which `isFull` says that they are held whole.
 */
export function* candidateAddresses(
  pools: readonly Pool[],
  name: string,
  isFull: (block: Block) => boolean = () => false,
): Generator<string> {
  for (const pool of pools) {
    const isUseless = (block: Block) => {
      const excluded = rangeAround(pool.excluded, { family: block.family, value: block.first })
      return (excluded !== undefined && excluded.last >= block.first + (1n << BigInt(block.bits)) - 1n) || isFull(block)
    }
    for (const value of candidates(pool, name, isUseless)) yield formatAddress({ family: pool.family, value })
  }
}

/** The ranges of the pools, for messages. */
export const formatPools = (pools: readonly Pool[]): string => pools.map(({ cidr }) => cidr).join(', ')

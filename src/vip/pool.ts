import { type Address, type AddressRange, type Block, covers, rangeAround } from '../api/address.ts'
import type { LabelSelector } from '../api/label-selector.ts'

/**
 * A range out of which virtual hosts are given their addresses. What holds for every pool:
 *
 * - its first and its last address, for IPv4 the network and the broadcast address, are not in it, nor is what is excluded;
 * - the candidates of a name are the same in every process and for ever;
 * - they visit each address of the pool once: first the upper half, then the lower one, which is for addresses that people
 *   pick by hand, and which Istio fills from below for its ServiceEntries;
 * - nothing is kept per address: a pool costs the same whatever its size.
 */
export type Pool = AddressRange & {
  /** The range in CIDR notation. */
  cidr: string
  /** Parts of it that it does not have: sorted, and none touches another (mergeRanges). */
  excluded: readonly AddressRange[]
  /** The namespaces that it is for; all where it is left out. */
  namespaceSelector?: LabelSelector
}

export const poolContains = (pool: Pool, address: Address): boolean =>
  covers(pool, address) &&
  address.value !== pool.first &&
  address.value !== pool.last &&
  (pool.excluded.length === 0 || rangeAround(pool.excluded, address) === undefined)

/** How many addresses can be handed out. */
export const poolSize = ({ first, last, excluded }: Pool): bigint =>
  excluded.reduce(
    (size, range) => {
      const from = range.first > first ? range.first : first + 1n
      const to = range.last < last ? range.last : last - 1n
      return size - (to - from + 1n)
    },
    last - first - 1n,
  )

/** FNV-1a over the code units, then the finalizer of MurmurHash3 so that near names land far apart. An unsigned 32-bit number. */
const hash = (text: string, basis: number): number => {
  let h = basis
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** A number of as many bits as an address of the family has; the lowest 32 by this basis, the others by those after it. */
const wideHash = (family: 4 | 6, text: string, basis: number): bigint => {
  let wide = 0n
  for (let word = family === 4 ? 0 : 3; word >= 0; word--) wide = (wide << 32n) | BigInt(hash(text, basis + word))
  return wide
}

/** Where a name begins in each block, and in which steps it goes through it. */
type Course = { offset: bigint; stride: bigint }

/** Every number below 2^bits, once: double hashing with an odd stride, which shares no factor with it. */
function* permutation(bits: number, { offset, stride }: Course): Generator<bigint> {
  const mask = (1n << BigInt(bits)) - 1n
  const first = offset & mask
  let number = first
  do {
    yield number
    number = (number + stride) & mask
  } while (number !== first)
}

/** The addresses of a block, by blocks of 2^4 times fewer. */
function* visit(block: Block, course: Course, isFull: (block: Block) => boolean): Generator<bigint> {
  const bits = (Math.ceil(block.bits / 4) - 1) * 4
  for (const number of permutation(block.bits - bits, { ...course, offset: course.offset >> BigInt(bits) })) {
    const part = { family: block.family, first: block.first + (number << BigInt(bits)), bits }
    if (bits === 0) yield part.first
    else if (!isFull(part)) yield* visit(part, course, isFull)
  }
}

/**
 * The addresses to try for a name (`namespace/name`), best first, but for those in blocks that are full. So what is left of a pool that
 * is almost full is found in some dozens of steps.
 */
export function* candidates(pool: Pool, name: string, isFull: (block: Block) => boolean): Generator<bigint> {
  const { family, first, last } = pool
  const half = (last - first + 1n) / 2n
  const bits = Math.round(Math.log2(Number(half)))
  const course = { offset: wideHash(family, name, 0x811c9dc5), stride: wideHash(family, name, 0x9e3779b9) | 1n }
  for (const start of [first + half, first]) {
    for (const value of visit({ family, first: start, bits }, course, isFull)) {
      if (poolContains(pool, { family, value })) yield value
    }
  }
}

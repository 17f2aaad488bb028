/**
 * A pool of IPv4 addresses as numbers. What holds for every pool:
 *
 * - the network and the broadcast address are not in it;
 * - the candidates of a name are the same in every process and for ever;
 * - they visit each address of the pool once: first the upper half, then the lower one, which is for addresses that people
 *   pick by hand, and which Istio fills from below for its ServiceEntries;
 * - nothing is kept per address: a pool costs the same whatever its size.
 */
export type Pool = {
  /** The range in CIDR notation. */
  cidr: string
  /** The network address. */
  network: number
  /** How many addresses the range spans, network and broadcast address included: a power of two, 4 at least. */
  span: number
}

export const poolContains = ({ network, span }: Pool, address: number): boolean =>
  address > network && address < network + span - 1

/** How many addresses can be handed out. */
export const poolSize = ({ span }: Pool): number => span - 2

/** FNV-1a over the code units, then the finalizer of MurmurHash3 so that near names land far apart. An unsigned 32-bit number. */
const hash = (text: string, basis: number): number => {
  let h = basis
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** Every offset below `count`, a power of two, once: double hashing with an odd stride, which shares no factor with it. */
function* permutation(count: number, name: string): Generator<number> {
  const stride = (hash(name, 0x9e3779b9) | 1) >>> 0
  let offset = hash(name, 0x811c9dc5) % count
  for (let i = 0; i < count; i++) {
    yield offset
    offset = (offset + stride) % count
  }
}

/** The addresses to try for a name (`namespace/name`), best first. */
export function* candidates(pool: Pool, name: string): Generator<number> {
  const half = pool.span / 2
  for (const start of [pool.network + half, pool.network]) {
    for (const offset of permutation(half, name)) {
      if (poolContains(pool, start + offset)) yield start + offset
    }
  }
}

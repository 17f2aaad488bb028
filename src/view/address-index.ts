import { type Block, parseAddress } from '../api/address.ts'
import type { Kind, KnownObject } from '../api/kinds.ts'

/** An object that has addresses of its own. */
export type AddressHolder = Extract<KnownObject, { kind: 'IPAddress' | 'Service' | 'ServiceEntry' }>

/** Of the blocks in which addresses are counted. Of larger ones those that are full are told by their parts. */
const countedBits = [4, 8, 12, 16]

/**
 * Of IPv4 the bits that the addresses of the block share, after a one that tells how many these are: a number so small that a Map has it
 * in its own table, which spares a cache miss for each that is looked at.
 */
const keyOf = ({ family, first, bits }: Block): string | number =>
  family === 4 ? 2 ** (32 - bits) + (Number(first) >>> bits) : `${bits} ${first >> BigInt(bits)}`

const addressesOf = ({ kind, object }: AddressHolder): ReadonlySet<string> => {
  if (kind === 'IPAddress') return new Set([object.name])
  return new Set(kind === 'Service' ? [...object.externalIPs, ...object.loadBalancerIPs] : object.addresses)
}

/** What comes first among the holders of one address. */
const order: readonly Kind[] = ['IPAddress', 'Service', 'ServiceEntry']

/** Who holds an address, and how many addresses of a block are held: one table, since each lookup in another is another cache miss. */
export class AddressIndex {
  readonly #holders = new Map<string, AddressHolder[]>()
  /** How many addresses of a block are held; no entry where none is. */
  readonly #held = new Map<string | number, number>()

  holders(address: string): readonly AddressHolder[] {
    return this.#holders.get(address) ?? []
  }

  /** Every address that is held, and by whom. */
  entries(): Iterable<readonly [address: string, holders: readonly AddressHolder[]]> {
    return this.#holders
  }

  /** How many addresses of a block of 2^4, 2^8, 2^12 or 2^16 are held; 0 for other blocks. */
  heldWithin(block: Block): number {
    return this.#held.get(keyOf(block)) ?? 0
  }

  /** Puts an object in the place of what it was before; either is undefined where there was, or is, none. */
  replace(before: AddressHolder | undefined, after: AddressHolder | undefined): void {
    const added = after === undefined ? new Set<string>() : addressesOf(after)
    for (const address of before === undefined ? [] : addressesOf(before)) {
      const holders = this.#holders.get(address) as AddressHolder[]
      const index = holders.findIndex(({ object }) => object === before?.object)
      if (after !== undefined && added.has(address)) holders[index] = after
      else if (holders.length > 1) holders.splice(index, 1)
      else this.#forget(address)
    }
    const kept = before === undefined ? new Set<string>() : addressesOf(before)
    for (const address of added) if (!kept.has(address)) this.#add(address, after as AddressHolder)
  }

  #add(address: string, holder: AddressHolder): void {
    const holders = this.#holders.get(address)
    if (holders === undefined) {
      this.#holders.set(address, [holder])
      this.#count(address, 1)
    } else {
      holders.push(holder)
      holders.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))
    }
  }

  #forget(address: string): void {
    this.#holders.delete(address)
    this.#count(address, -1)
  }

  #count(address: string, change: 1 | -1): void {
    const parsed = parseAddress(address)
    if (parsed === undefined) return
    for (const bits of countedBits) {
      const key = keyOf({ family: parsed.family, first: parsed.value, bits })
      const held = (this.#held.get(key) ?? 0) + change
      if (held === 0) this.#held.delete(key)
      else this.#held.set(key, held)
    }
  }
}

import { collapseIPv6Number, IPv4, IPv4CidrRange, IPv6, IPv6CidrRange } from 'ip-num'

/** An inclusive range of addresses of one family. */
export type AddressRange = { family: 4 | 6; first: bigint; last: bigint }

export type Address = { family: 4 | 6; value: bigint }

/** The 2^bits addresses from `first` on, which is a multiple of 2^bits. */
export type Block = { family: 4 | 6; first: bigint; bits: number }

/** No address is longer, but by leading zeros; ip-num would work for seconds on a number of a million digits. */
const maxLength = 45

/** What ip-num would take long for, or read over: a zone, as in fe80::1%eth0. */
const isHopeless = (text: string): boolean => text.length > maxLength || text.includes('%')

/** IPv6 addresses that stand for IPv4 ones: ::ffff:0:0/96. */
const mappedPrefix = 0xffffn

/**
 * An address in the one spelling by which it is compared and claimed: without leading zeros, an IPv4-mapped address as IPv4, IPv6
 * by RFC 5952. API servers before 1.36 accept the others. What is no address is returned as it is.
 */
export const canonicalAddress = (text: string): string => {
  // As Go's net.ParseIP read it for long: any number of zeros before a number, decimal in the parts between dots.
  const bare = text.replace(/(?<![0-9a-f])0+(?=[0-9a-f])/gi, '')
  if (!bare.includes(':')) return bare
  if (isHopeless(bare)) return text
  try {
    const address = IPv6.fromString(bare)
    const value = address.getValue()
    return value >> 32n === mappedPrefix
      ? new IPv4(value & 0xffffffffn).toString()
      : collapseIPv6Number(address.toString())
  } catch {
    return text
  }
}

/** An address as text, in the spelling of canonicalAddress. */
export const formatAddress = ({ family, value }: Address): string =>
  family === 4 ? new IPv4(value).toString() : collapseIPv6Number(new IPv6(value).toString())

/** A range in CIDR notation, and whether bits are set after its prefix (240.240.0.1/16), which ip-num reads over. Undefined for any other text. */
const readCidr = (text: string): (AddressRange & { hostBits: boolean; network: string }) | undefined => {
  const [address = '', prefix = ''] = text.split('/')
  if (!/^(0|[1-9]\d{0,2})$/.test(prefix) || isHopeless(address)) return undefined
  const family = address.includes(':') ? 6 : 4
  try {
    const range = family === 6 ? IPv6CidrRange.fromCidr(text) : IPv4CidrRange.fromCidr(text)
    const value = (family === 6 ? IPv6.fromString(address) : IPv4.fromString(address)).getValue()
    const first = range.getFirst()
    return {
      family,
      first: first.getValue(),
      last: range.getLast().getValue(),
      hostBits: first.getValue() !== value,
      network: `${family === 6 ? collapseIPv6Number(first.toString()) : first}/${prefix}`,
    }
  } catch {
    return undefined
  }
}

/** Parses a range in CIDR notation. Throws an Error that says what is wrong with it. */
export const parseCidr = (text: string): AddressRange => {
  const range = readCidr(text)
  if (range === undefined) throw new Error(`${text} is no range in CIDR notation, such as 240.240.0.0/16`)
  if (range.hostBits) throw new Error(`${text} has bits set after its prefix: did you mean ${range.network}?`)
  return { family: range.family, first: range.first, last: range.last }
}

/** The range that a text in CIDR notation covers, however carelessly it is written; undefined for any other text. */
export const looseRange = (text: string): AddressRange | undefined => {
  const range = readCidr(text)
  return range === undefined ? undefined : { family: range.family, first: range.first, last: range.last }
}

/** The family and number of an address; undefined for a text that is none. */
export const parseAddress = (text: string): Address | undefined => {
  const family = text.includes(':') ? 6 : 4
  if (isHopeless(text)) return undefined
  try {
    return { family, value: (family === 6 ? IPv6.fromString(text) : IPv4.fromString(text)).getValue() }
  } catch {
    return undefined
  }
}

/** Whether a range contains an address. */
export const covers = (range: AddressRange, { family, value }: Address): boolean =>
  family === range.family && range.first <= value && value <= range.last

/** The range that contains an address, among ranges as mergeRanges gives them. */
export const rangeAround = (ranges: readonly AddressRange[], address: Address): AddressRange | undefined => {
  const isBehind = ({ family, last }: AddressRange) =>
    family < address.family || (family === address.family && last < address.value)
  let [low, high] = [0, ranges.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (isBehind(ranges[middle] as AddressRange)) low = middle + 1
    else high = middle
  }
  const found = ranges[low]
  return found !== undefined && covers(found, address) ? found : undefined
}

/** The same addresses in as few ranges as can be, in their order. */
export const mergeRanges = (ranges: readonly AddressRange[]): AddressRange[] => {
  const merged: AddressRange[] = []
  const sorted = [...ranges].sort((a, b) => a.family - b.family || (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))
  for (const range of sorted) {
    const last = merged.at(-1)
    if (last !== undefined && last.family === range.family && range.first <= last.last + 1n) {
      if (range.last > last.last) last.last = range.last
    } else {
      merged.push({ ...range })
    }
  }
  return merged
}

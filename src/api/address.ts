import { collapseIPv6Number, IPv4, IPv4CidrRange, IPv6, IPv6CidrRange } from 'ip-num'

/** An inclusive range of addresses of one family. */
export type AddressRange = { family: 4 | 6; first: bigint; last: bigint }

/** No address is longer, but by leading zeros; ip-num would work for seconds on a number of a million digits. */
const maxLength = 45

/** The number of an IPv4 address; undefined for anything else, leading zeros and other spellings included. */
export const parseIPv4 = (text: string): number | undefined => {
  if (text.length > maxLength) return undefined
  try {
    return Number(IPv4.fromString(text).getValue())
  } catch {
    // ip-num has no other way to say that a text is no address.
    return undefined
  }
}

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
  if (bare.length > maxLength) return text
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

export const formatIPv4 = (address: number): string => IPv4.fromNumber(BigInt(address)).toString()

/** A range in CIDR notation, and whether bits are set after its prefix (240.240.0.1/16), which ip-num reads over. Undefined for any other text. */
const readCidr = (text: string): (AddressRange & { hostBits: boolean; network: string }) | undefined => {
  const [address = '', prefix = ''] = text.split('/')
  if (!/^(0|[1-9]\d{0,2})$/.test(prefix) || address.length > maxLength) return undefined
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
export const parseAddress = (text: string): { family: 4 | 6; value: bigint } | undefined => {
  const family = text.includes(':') ? 6 : 4
  if (text.length > maxLength) return undefined
  try {
    return { family, value: (family === 6 ? IPv6.fromString(text) : IPv4.fromString(text)).getValue() }
  } catch {
    return undefined
  }
}

/** Whether a range contains an address; false for a text that is no address. */
export const rangeContains = (range: AddressRange, text: string): boolean => {
  const address = parseAddress(text)
  return address !== undefined && covers(range, address)
}

/** Whether a range contains an address that is parsed already. */
export const covers = (range: AddressRange, { family, value }: { family: 4 | 6; value: bigint }): boolean =>
  family === range.family && range.first <= value && value <= range.last

/** The range that contains an address, among ranges as mergeRanges gives them. */
export const rangeAround = (
  ranges: readonly AddressRange[],
  address: { family: 4 | 6; value: bigint },
): AddressRange | undefined => {
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

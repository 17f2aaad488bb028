import { isIPv4, isIPv6 } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import {
  canonicalAddress,
  covers,
  formatAddress,
  looseRange,
  mergeRanges,
  parseAddress,
  parseCidr,
  rangeAround,
} from '../../src/api/address.ts'
import { thrown } from '../support/thrown.ts'

const cidrCovers = (cidr: string, text: string): boolean => {
  const [range, address] = [looseRange(cidr), parseAddress(text)]
  return range !== undefined && address !== undefined && covers(range, address)
}

const formatIPv4 = (number: number): string => formatAddress({ family: 4, value: BigInt(number) })

const address = fc.integer({ min: 0, max: 0xffffffff })

t.test('an IPv4 address is a number', async (t) => {
  const rows: [text: string, number: number][] = [
    ['0.0.0.0', 0],
    ['0.0.1.0', 256],
    ['10.0.0.1', 0x0a000001],
    ['240.240.0.1', 0xf0f00001],
    ['255.255.255.255', 0xffffffff],
  ]
  for (const [text, number] of rows) {
    t.strictSame(parseAddress(text), { family: 4, value: BigInt(number) }, text)
    t.equal(formatIPv4(number), text, text)
  }
})

t.test('what is no IPv4 address, or not in its one spelling, is none', async (t) => {
  const texts = [
    '',
    ' ',
    '1.2.3',
    '1.2.3.4.5',
    '256.0.0.1',
    '01.2.3.4',
    '0x1.2.3.4',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '+1.2.3.4',
    '-1.2.3.4',
  ]
  for (const text of [...texts, '1e1.2.3.4', '1.2.3.4/32', '1..3.4', 'orders', '240']) {
    t.equal(parseAddress(text), undefined, JSON.stringify(text))
  }
})

t.test('every number is the address that it was written as, in the one spelling of it', async (t) => {
  const number = fc.oneof(
    fc.record({ family: fc.constant(4 as const), value: fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }) }),
    fc.record({ family: fc.constant(6 as const), value: fc.bigInt({ min: 2n ** 120n, max: 2n ** 128n - 1n }) }),
  )
  fc.assert(
    fc.property(number, (given) => {
      const text = formatAddress(given)
      const read = parseAddress(text)
      return read?.family === given.family && read.value === given.value && canonicalAddress(text) === text
    }),
  )
  t.equal(formatAddress({ family: 6, value: 0xfd00n << 112n }), 'fd00::')
})

t.test('every address that is read is written the same', async () => {
  const text = fc.oneof(
    fc.ipV4(),
    fc.string({ unit: fc.constantFrom('0', '1', '2', '5', '.', '+', 'x', ' ') }),
    fc.tuple(fc.nat(300), fc.nat(300), fc.nat(300), fc.nat(300)).map((parts) => parts.join('.')),
  )
  fc.assert(
    fc.property(text, (text) => {
      const read = parseAddress(text)
      return read === undefined ? !isIPv4(text) : isIPv4(text) && formatAddress(read) === text
    }),
  )
})

t.test('an IPv6 address is read where Node reads one without a zone, and written as URLs have it', async () => {
  const text = fc.oneof(
    fc.ipV6(),
    fc.tuple(fc.ipV6(), fc.constantFrom('%eth0', '%0', ':', ' ')).map((parts) => parts.join('')),
  )
  fc.assert(
    fc.property(text, (text) => {
      const read = parseAddress(text)
      if (read === undefined) return !isIPv6(text) || text.includes('%')
      // What stands for an IPv4 address is written as one.
      return (
        isIPv6(text) &&
        (read.value >> 32n === 0xffffn || `[${formatAddress(read)}]` === new URL(`http://[${text}]/`).hostname)
      )
    }),
    { numRuns: 1_000 },
  )
})

t.test('a zone makes an address none, and a range none', async (t) => {
  t.equal(parseAddress('fd00::3%eth0'), undefined)
  t.equal(canonicalAddress('fd00::3%eth0'), 'fd00::3%eth0')
  t.equal(looseRange('fd00::%eth0/64'), undefined)
})

t.test('a range in CIDR notation', async (t) => {
  const rows: [text: string, family: 4 | 6, first: bigint, last: bigint][] = [
    ['240.240.0.0/16', 4, 0xf0f00000n, 0xf0f0ffffn],
    ['10.0.0.7/32', 4, 0x0a000007n, 0x0a000007n],
    ['240.0.0.0/4', 4, 0xf0000000n, 0xffffffffn],
    ['0.0.0.0/0', 4, 0n, 0xffffffffn],
    ['::1/128', 6, 1n, 1n],
    ['::/0', 6, 0n, 2n ** 128n - 1n],
    ['fd00::/120', 6, 0xfdn << 120n, (0xfdn << 120n) + 255n],
  ]
  for (const [text, family, first, last] of rows) t.strictSame(parseCidr(text), { family, first, last }, text)
})

t.test('what is no range says so', async (t) => {
  const texts = [
    '',
    '/',
    '240.240.0.0',
    '240.240.0.0/',
    '240.240.0.0/33',
    '240.240.0.0/-1',
    '240.240.0.0/016',
    '240.240.0.0/+16',
  ]
  for (const text of [
    ...texts,
    '240.240.0.0/16/8',
    '240.240.0/16',
    '240.240.0.0/ 16',
    'orders/16',
    '/16',
    '::/129',
    'fd00:/8',
    ':/8',
  ]) {
    t.equal(
      thrown(() => parseCidr(text)),
      `Error: ${text} is no range in CIDR notation, such as 240.240.0.0/16`,
    )
  }
})

t.test('bits after the prefix are a mistake, and the range that was meant is named', async (t) => {
  const rows: [text: string, meant: string][] = [
    ['240.240.0.1/16', '240.240.0.0/16'],
    ['240.240.255.0/16', '240.240.0.0/16'],
    ['255.255.255.255/0', '0.0.0.0/0'],
  ]
  for (const [text, meant] of rows) {
    t.equal(
      thrown(() => parseCidr(text)),
      `Error: ${text} has bits set after its prefix: did you mean ${meant}?`,
    )
  }
  t.throws(() => parseCidr('fd00::1/64'), /^fd00::1\/64 has bits set after its prefix: did you mean fd00:/)
})

t.test('every range contains its network and as many addresses as its prefix leaves', async () => {
  fc.assert(
    fc.property(address, fc.integer({ min: 0, max: 32 }), (number, prefix) => {
      const size = 2 ** (32 - prefix)
      const network = number - (number % size)
      const { first, last } = parseCidr(`${formatIPv4(network)}/${prefix}`)
      return first === BigInt(network) && last === BigInt(network + size - 1)
    }),
  )
})

t.test('whether a range contains an address', async (t) => {
  const rows: [cidr: string, address: string, expected: boolean][] = [
    ['240.240.0.0/16', '240.240.0.0', true],
    ['240.240.0.0/16', '240.240.255.255', true],
    ['240.240.0.0/16', '240.241.0.0', false],
    ['240.240.0.0/16', '240.239.255.255', false],
    ['240.240.0.0/16', '::1', false],
    ['240.240.0.0/16', 'orders', false],
    ['240.240.0.0/16', '', false],
    ['fd00::/8', 'fd12:3456::1', true],
    ['fd00::/8', 'FD12:3456:0:0:0:0:0:1', true],
    ['fd00::/8', 'fe00::', false],
    ['fd00::/8', 'fd00:', false],
    ['::/0', '10.0.0.1', false],
  ]
  for (const [cidr, address, expected] of rows) {
    t.equal(cidrCovers(cidr, address), expected, `${cidr} ${address}`)
  }
})

t.test('a range is read for what it covers even where it is written carelessly', async (t) => {
  t.equal(cidrCovers('240.240.0.1/16', '240.240.255.255'), true)
  t.equal(cidrCovers('240.240.0.1/16', '240.241.0.1'), false)
})

t.test('what is no range covers nothing, not even itself', async (t) => {
  for (const text of ['240.240.0.1', '240.240.0.1/', '240.240.0.1/33', 'orders', ''])
    t.equal(cidrCovers(text, text), false, text)
  t.equal(cidrCovers('240.240.0.1/33', '240.240.0.1'), false)
})

t.test('an address has one spelling by which it is compared', async (t) => {
  const rows: [text: string, canonical: string][] = [
    ['240.240.0.1', '240.240.0.1'],
    ['240.240.000.01', '240.240.0.1'],
    ['010.0.0.100', '10.0.0.100'],
    ['0.0.0.0', '0.0.0.0'],
    ['::ffff:240.240.0.1', '240.240.0.1'],
    ['::FFFF:f0f0:1', '240.240.0.1'],
    ['::ffff:240.240.001.001', '240.240.1.1'],
    ['::ffff:0f0f0:101', '240.240.1.1'],
    ['0000000:0:0:0:0:ffff:f0f0:101', '240.240.1.1'],
    ['2001:DB8:0:0::1', '2001:db8::1'],
    ['::1', '::1'],
    ['no address', 'no address'],
    ['not:one:either', 'not:one:either'],
    ['', ''],
  ]
  for (const [text, canonical] of rows) {
    t.equal(canonicalAddress(text), canonical, text)
    t.equal(canonicalAddress(canonical), canonical, 'and stays')
  }
})

t.test('the range around an address is the one that looking through them finds', async () => {
  const range = fc
    .tuple(fc.constantFrom<4 | 6>(4, 6), fc.bigInt(0n, 60n), fc.bigInt(0n, 9n))
    .map(([family, first, size]) => ({ family, first, last: first + size }))
  const value = fc.record({ family: fc.constantFrom<4 | 6>(4, 6), value: fc.bigInt(0n, 70n) })
  fc.assert(
    fc.property(fc.array(range), value, (ranges, address) => {
      const merged = mergeRanges(ranges)
      const found = merged.find(
        ({ family, first, last }) => family === address.family && first <= address.value && address.value <= last,
      )
      return rangeAround(merged, address) === found
    }),
  )
})

t.test('a text that is too long for an address is none, and no work', async (t) => {
  const long = `1.2.3.${'9'.repeat(1_000_000)}`
  t.equal(parseAddress(long), undefined)
  t.equal(looseRange(`${long}/8`), undefined)
  const mapped = `::ffff:${long}`
  t.equal(canonicalAddress(mapped), mapped)
})

t.test('ranges are merged where they touch, and cover the same', async (t) => {
  const merged = (...cidrs: string[]) => mergeRanges(cidrs.map(parseCidr))
  t.strictSame(merged('10.0.1.0/24', '10.0.0.0/24'), [parseCidr('10.0.0.0/23')])
  t.strictSame(merged('10.0.0.0/8', '10.1.0.0/16', '10.0.0.0/8'), [parseCidr('10.0.0.0/8')])
  t.strictSame(merged('10.0.0.0/24', '10.0.2.0/24'), [parseCidr('10.0.0.0/24'), parseCidr('10.0.2.0/24')])
  t.strictSame(merged('fd00::/64', '10.0.0.0/24', 'fd00::/48'), [parseCidr('10.0.0.0/24'), parseCidr('fd00::/48')])
  t.strictSame(merged(), [])
})

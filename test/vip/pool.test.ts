import fc from 'fast-check'
import t from 'tap'
import type { Block } from '../../src/api/address.ts'
import { ObjectStore } from '../../src/view/object-store.ts'
import { candidates, type Pool, poolContains, poolSize } from '../../src/vip/pool.ts'
import {
  candidateAddresses,
  createPool,
  inPool,
  isFor,
  poolOf,
  poolsFor,
  type WrittenPool,
} from '../../src/vip/pools.ts'
import { storeOf } from '../support/backends.ts'
import { thrown } from '../support/thrown.ts'

const standard = createPool({ cidr: '240.240.0.0/16' })

const none = () => false

const addresses = (cidr: string, name: string, count = Number.POSITIVE_INFINITY) =>
  candidateAddresses([createPool({ cidr })], name)
    .take(count)
    .toArray()

const anyName = fc.tuple(fc.string(), fc.string()).map(([namespace, name]) => `${namespace}/${name}`)

/** Pools of up to 4,096 addresses, anywhere, some of them excluded. */
const smallPool = fc
  .record({
    family: fc.constantFrom(4 as const, 6 as const),
    bits: fc.integer({ min: 2, max: 12 }),
    at: fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }),
    holes: fc.uniqueArray(fc.nat(15), { maxLength: 14 }),
  })
  .map(({ family, bits, at, holes }): Pool => {
    const size = 2n ** BigInt(bits)
    const first = ((family === 6 ? 0xfd00n << 112n : 0n) | at) & ~(size - 1n)
    const range = { family, first, last: first + size - 1n }
    const excluded = holes
      .sort((a, b) => a - b)
      // Each of one address, and none beside another.
      .map((hole) => first + BigInt(hole) * 2n)
      .filter((hole) => hole <= range.last)
      .map((hole) => ({ family, first: hole, last: hole }))
    return { cidr: 'any', ...range, excluded }
  })

t.test('a pool is a range of addresses', async (t) => {
  t.strictSame(standard, { cidr: '240.240.0.0/16', family: 4, first: 0xf0f00000n, last: 0xf0f0ffffn, excluded: [] })
  t.match(createPool({ cidr: '10.0.0.0/30' }), { first: 0x0a000000n, last: 0x0a000003n })
  t.match(createPool({ cidr: 'fd00::/126' }), { family: 6, first: 0xfdn << 120n, last: (0xfdn << 120n) | 3n })
})

t.test('a range that cannot be a pool says why', async (t) => {
  const rows: [written: WrittenPool, message: string][] = [
    [{ cidr: '10.0.0.0/31' }, '10.0.0.0/31 has no address beside its first and last one'],
    [{ cidr: '10.0.0.1/32' }, '10.0.0.1/32 has no address beside its first and last one'],
    [{ cidr: 'fd00::/127' }, 'fd00::/127 has no address beside its first and last one'],
    [{ cidr: '10.0.0.1/8' }, '10.0.0.1/8 has bits set after its prefix: did you mean 10.0.0.0/8?'],
    ...[
      ['0.0.0.0/0', '0.0.0.0/8'],
      ['127.1.0.0/16', '127.0.0.0/8'],
      ['169.254.0.0/24', '169.254.0.0/16'],
      ['224.0.0.0/24', '224.0.0.0/4'],
      ['fe80::/64', 'fe80::/10'],
      ['ff02::/16', 'ff00::/8'],
      ['::/64', '::/127'],
      ['::ffff:102:0/112', '::ffff:0:0/96'],
    ].map(([cidr = '', around]): [WrittenPool, string] => [
      { cidr },
      `${cidr} overlaps ${around}, of which Kubernetes takes no external IP`,
    ]),
    [{ cidr: '10.0.0.0' }, '10.0.0.0 is no range in CIDR notation, such as 240.240.0.0/16'],
    [{ cidr: '10.0.0.0/24', exclude: ['10.0.1.0'] }, '10.0.1.0 is no part of 10.0.0.0/24'],
    [{ cidr: '10.0.0.0/24', exclude: ['10.0.0.0/23'] }, '10.0.0.0/23 is no part of 10.0.0.0/24'],
    [{ cidr: '10.0.0.0/24', exclude: ['fd00::1'] }, 'fd00::1 is no part of 10.0.0.0/24'],
    [{ cidr: '10.0.0.0/24', exclude: ['x'] }, 'x is no range in CIDR notation, such as 240.240.0.0/16'],
    [{ cidr: '10.0.0.0/24', exclude: ['10.0.0.0/25', '10.0.0.128/25'] }, 'all of 10.0.0.0/24 is excluded'],
  ]
  for (const [written, message] of rows)
    t.equal(
      thrown(() => createPool(written)),
      `Error: ${message}`,
      JSON.stringify(written),
    )
})

t.test('the size of a pool leaves out its first and last address, and what is excluded', async (t) => {
  const rows: [written: WrittenPool, size: bigint][] = [
    [{ cidr: '240.240.0.0/16' }, 65534n],
    [{ cidr: '10.0.0.0/30' }, 2n],
    [{ cidr: 'fd00::/48' }, 2n ** 80n - 2n],
    [{ cidr: '10.0.0.0/24', exclude: ['10.0.0.7'] }, 253n],
    [{ cidr: '10.0.0.0/24', exclude: ['10.0.0.0/28'] }, 254n - 15n],
    [{ cidr: '10.0.0.0/24', exclude: ['10.0.0.128/25', '10.0.0.200'] }, 127n],
    [{ cidr: '10.0.0.0/24', exclude: ['10.0.0.0', '10.0.0.255'] }, 254n],
  ]
  for (const [written, size] of rows) t.equal(poolSize(createPool(written)), size, JSON.stringify(written))
})

t.test('what a pool contains', async (t) => {
  const rows: [address: string, expected: boolean][] = [
    ['240.240.0.0', false],
    ['240.240.0.1', true],
    ['240.240.128.0', true],
    ['240.240.255.254', true],
    ['240.240.255.255', false],
    ['240.239.255.255', false],
    ['240.241.0.0', false],
    ['10.0.0.1', false],
    ['::ffff:240.240.0.1', false],
    ['240.240.0.01', false],
    ['orders', false],
    ['', false],
    ['fd00::1', true],
    ['fd00::', false],
    ['240.240.7.7', false],
    ['240.240.9.200', false],
    ['240.240.10.0', true],
  ]
  const pools = [
    createPool({ cidr: '240.240.0.0/16', exclude: ['240.240.7.7', '240.240.9.0/24'] }),
    createPool({ cidr: 'fd00::/64' }),
  ]
  for (const [address, expected] of rows) t.equal(inPool(pools, address), expected, address)
})

t.test('an address is in the pools when it is in one of them', async (t) => {
  const pools = [createPool({ cidr: '10.0.0.0/29' }), createPool({ cidr: '10.0.0.8/29' })]
  t.equal(poolOf(pools, '10.0.0.6'), pools[0])
  t.equal(poolOf(pools, '10.0.0.9'), pools[1])
  t.equal(poolOf(pools, '10.0.0.7'), undefined, 'the last address of the first')
  t.equal(poolOf(pools, '10.0.0.8'), undefined, 'the first address of the second')
  t.equal(inPool([], '10.0.0.6'), false)
})

t.test('which namespaces a pool is for', async (t) => {
  const namespace = (name: string, team: string) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { team } },
  })
  const all = createPool({ cidr: '10.0.0.0/24' })
  const ofShop = createPool({ cidr: '10.0.1.0/24', namespaceSelector: { matchLabels: { team: 'shop' } } })
  const view = storeOf(namespace('a', 'shop'), namespace('b', 'stock'))
  t.strictSame(
    ['a', 'b', 'unlisted'].map((name) => poolsFor([all, ofShop], name, view).map(({ cidr }) => cidr)),
    [['10.0.0.0/24', '10.0.1.0/24'], ['10.0.0.0/24'], ['10.0.0.0/24', '10.0.1.0/24']],
  )
  const live = new ObjectStore({ clusterDomain: 'cluster.local', unlistedNamespacesSelected: false })
  t.strictSame([isFor(all, 'a', live), isFor(ofShop, 'a', live)], [true, false], 'in a cluster it has no labels')
})

t.test('the candidates of a name stay the same for ever', async (t) => {
  const rows: [cidr: string, name: string, first: string[]][] = [
    ['240.240.0.0/16', 'shop/orders', ['240.240.225.190', '240.240.225.183', '240.240.225.176']],
    ['240.240.0.0/16', 'shop/payments', ['240.240.231.55', '240.240.231.54', '240.240.231.53']],
    ['240.240.0.0/16', 'your-namespace/name-of-service', ['240.240.148.121', '240.240.148.114', '240.240.148.123']],
    ['240.240.0.0/16', 'default/a', ['240.240.197.191', '240.240.197.186', '240.240.197.181']],
    ['240.0.0.0/4', 'shop/orders', ['252.190.225.190', '252.190.225.183']],
    ['240.0.0.0/4', 'your-namespace/name-of-service', ['248.130.148.121', '248.130.148.114']],
    ['fd00::/48', 'shop/orders', ['fd00::9461:e7bc:c0b2:14be:e1be', 'fd00::9461:e7bc:c0b2:14be:e1b7']],
    ['2001:db8::/32', 'your-namespace/name-of-service', ['2001:db8:f9a4:cbcd:fd15:d29:a082:9479']],
  ]
  for (const [cidr, name, first] of rows) t.strictSame(addresses(cidr, name, first.length), first, `${cidr} ${name}`)
})

t.test('the whole order of a small pool stays the same for ever', async (t) => {
  const order = (...last: number[]) => last.map((byte) => `10.0.0.${byte}`)
  t.strictSame(addresses('10.0.0.0/29', 'shop/orders'), order(6, 4, 5, 2, 3, 1))
  t.strictSame(addresses('10.0.0.0/29', 'your-namespace/name-of-service'), order(5, 6, 4, 1, 2, 3))
  t.strictSame(addresses('10.0.0.0/30', 'shop/orders'), order(2, 1))
})

t.test('one pool is tried after the other', async (t) => {
  const [a, b] = [createPool({ cidr: '10.0.0.0/30' }), createPool({ cidr: '10.9.0.0/30' })]
  const of = (pools: Pool[]) => candidateAddresses(pools, 'shop/orders').toArray()
  t.strictSame(of([a, b]), ['10.0.0.2', '10.0.0.1', '10.9.0.2', '10.9.0.1'])
  t.strictSame(of([b, a]), ['10.9.0.2', '10.9.0.1', '10.0.0.2', '10.0.0.1'])
  t.strictSame(of([]), [])
})

t.test('candidates visit each address of the pool once', async () => {
  fc.assert(
    fc.property(smallPool, anyName, (pool, name) => {
      const visited = candidates(pool, name, none).toArray()
      return (
        BigInt(visited.length) === poolSize(pool) &&
        new Set(visited).size === visited.length &&
        visited.every((value) => poolContains(pool, { family: pool.family, value }))
      )
    }),
  )
})

t.test('candidates come from the upper half first', async () => {
  fc.assert(
    fc.property(smallPool, anyName, (pool, name) => {
      const middle = (pool.first + pool.last + 1n) / 2n
      const upper = candidates(pool, name, none)
        .toArray()
        .map((value) => value >= middle)
      return upper.every((isUpper, index) => index === 0 || upper[index - 1] || !isUpper)
    }),
  )
})

t.test('the same name has the same candidates', async () => {
  fc.assert(
    fc.property(smallPool, anyName, (pool, name) => {
      const again = candidates({ ...pool }, name, none)
      return candidates(pool, name, none).every((value) => again.next().value === value)
    }),
  )
})

t.test('blocks that are full are passed over, and nothing else', async () => {
  const pool = createPool({ cidr: '10.0.0.0/13' })
  const full = fc.uniqueArray(fc.nat(2 ** 11 - 1), { maxLength: 2 ** 11 })
  fc.assert(
    fc.property(full, anyName, (numbers, name) => {
      const blocks = new Set(numbers.map((number) => pool.first + (BigInt(number) << 8n)))
      const isFull = ({ first, bits }: Block) => bits === 8 && blocks.has(first)
      const order = candidates(pool, name, none).filter((value) => !blocks.has(value & ~0xffn))
      return candidates(pool, name, isFull)
        .take(1_000)
        .every((value) => order.next().value === value)
    }),
    { numRuns: 20 },
  )
})

t.test(
  'a pool of any size costs the same until it is asked for more, also where half of it is held at once',
  async (t) => {
    const cidrs = ['10.0.0.0/8', '240.0.0.0/4', '2001:db8::/32', 'fd00::/48', 'fd00::/126']
    for (const cidr of cidrs) {
      const pool = createPool({ cidr })
      const middle = (pool.first + pool.last + 1n) / 2n
      fc.assert(
        fc.property(anyName, (name) => {
          const [first] = candidates(pool, name, none).take(1)
          const [lower] = candidates(pool, name, ({ first }) => first >= middle)
            .filter((value) => value < middle)
            .take(1)
          return first !== undefined && first >= middle && lower !== undefined && lower >= pool.first
        }),
        { numRuns: 20 },
      )
      t.pass(cidr)
    }
  },
)

t.test('a half that is excluded is not searched', async (t) => {
  const pool = { cidr: 'fd00::/48', exclude: ['fd00:0:0:8000::/49', 'fd00::/50'] }
  const [first = ''] = candidateAddresses([createPool(pool)], 'shop/orders').take(1)
  t.ok(inPool([createPool(pool)], first), first)
  t.match(first, /^fd00::[4-7]/)
})

t.test('a thousand names that differ in their number spread over the upper half', async (t) => {
  const names = Array.from({ length: 1000 }, (_, index) => `shop/orders-${index}`)
  const spread = (cidr: string) => new Set(names.map((name) => addresses(cidr, name, 1)[0])).size
  t.ok(spread('240.240.0.0/16') > 970, `${spread('240.240.0.0/16')} addresses, where 985 are expected of chance`)
  t.equal(spread('fd00::/48'), 1000)
})

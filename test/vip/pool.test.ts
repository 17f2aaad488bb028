import fc from 'fast-check'
import t from 'tap'
import { candidates, type Pool, poolContains, poolSize } from '../../src/vip/pool.ts'
import { candidateAddresses, createPool, inPool } from '../../src/vip/pools.ts'
import { thrown } from '../support/thrown.ts'

const standard = createPool('240.240.0.0/16')

const addresses = (cidr: string, name: string, count = Number.POSITIVE_INFINITY) =>
  candidateAddresses([createPool(cidr)], name)
    .take(count)
    .toArray()

const anyName = fc.tuple(fc.string(), fc.string()).map(([namespace, name]) => `${namespace}/${name}`)

/** Pools of up to 4,096 addresses, anywhere. */
const smallPool = fc
  .record({ bits: fc.integer({ min: 2, max: 12 }), at: fc.integer({ min: 0, max: 0xffffffff }) })
  .map(({ bits, at }): Pool => {
    const span = 2 ** bits
    return { cidr: 'any', network: at - (at % span), span }
  })

t.test('a pool is a range of IPv4 addresses', async (t) => {
  t.strictSame(standard, { cidr: '240.240.0.0/16', network: 0xf0f00000, span: 65536 })
  t.strictSame(createPool('10.0.0.0/30'), { cidr: '10.0.0.0/30', network: 0x0a000000, span: 4 })
  t.strictSame(createPool('240.0.0.0/4'), { cidr: '240.0.0.0/4', network: 0xf0000000, span: 2 ** 28 })
})

t.test('a range that cannot be a pool says why', async (t) => {
  const rows: [cidr: string, message: string][] = [
    ['fd00::/64', 'fd00::/64 is no IPv4 range'],
    ['10.0.0.0/31', '10.0.0.0/31 has no address beside its network and broadcast address'],
    ['10.0.0.1/32', '10.0.0.1/32 has no address beside its network and broadcast address'],
    ['10.0.0.1/8', '10.0.0.1/8 has bits set after its prefix: did you mean 10.0.0.0/8?'],
    ...[
      ['0.0.0.0/0', '0.0.0.0/8'],
      ['127.1.0.0/16', '127.0.0.0/8'],
      ['169.254.0.0/24', '169.254.0.0/16'],
      ['224.0.0.0/24', '224.0.0.0/4'],
    ].map(([cidr, around]): [string, string] => [
      String(cidr),
      `${cidr} overlaps ${around}, of which Kubernetes takes no external IP`,
    ]),
    ['10.0.0.0', '10.0.0.0 is no range in CIDR notation, such as 240.240.0.0/16'],
  ]
  for (const [cidr, message] of rows)
    t.equal(
      thrown(() => createPool(cidr)),
      `Error: ${message}`,
      cidr,
    )
})

t.test('the size of a pool leaves out its network and broadcast address', async (t) => {
  t.equal(poolSize(standard), 65534)
  t.equal(poolSize(createPool('10.0.0.0/30')), 2)
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
  ]
  for (const [address, expected] of rows) t.equal(inPool([standard], address), expected, address)
})

t.test('an address is in the pools when it is in one of them', async (t) => {
  const pools = [createPool('10.0.0.0/29'), createPool('10.0.0.8/29')]
  t.equal(inPool(pools, '10.0.0.6'), true)
  t.equal(inPool(pools, '10.0.0.9'), true)
  t.equal(inPool(pools, '10.0.0.7'), false, 'the broadcast address of the first')
  t.equal(inPool(pools, '10.0.0.8'), false, 'the network address of the second')
  t.equal(inPool([], '10.0.0.6'), false)
})

t.test('the candidates of a name stay the same for ever', async (t) => {
  const rows: [cidr: string, name: string, first: string[]][] = [
    ['240.240.0.0/16', 'shop/orders', ['240.240.225.190', '240.240.246.167', '240.240.139.144']],
    ['240.240.0.0/16', 'shop/payments', ['240.240.231.55', '240.240.179.246', '240.240.128.181']],
    ['240.240.0.0/16', 'your-namespace/name-of-service', ['240.240.148.121', '240.240.246.146', '240.240.216.171']],
    ['240.240.0.0/16', 'default/a', ['240.240.197.191', '240.240.188.202', '240.240.179.213']],
    ['240.0.0.0/4', 'shop/orders', ['252.190.225.190', '248.14.246.167']],
    ['240.0.0.0/4', 'your-namespace/name-of-service', ['248.130.148.121', '255.91.118.146']],
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
  const [a, b] = [createPool('10.0.0.0/30'), createPool('10.9.0.0/30')]
  const of = (pools: Pool[]) => candidateAddresses(pools, 'shop/orders').toArray()
  t.strictSame(of([a, b]), ['10.0.0.2', '10.0.0.1', '10.9.0.2', '10.9.0.1'])
  t.strictSame(of([b, a]), ['10.9.0.2', '10.9.0.1', '10.0.0.2', '10.0.0.1'])
  t.strictSame(of([]), [])
})

t.test('candidates visit each address of the pool once, and neither network nor broadcast address', async () => {
  fc.assert(
    fc.property(smallPool, anyName, (pool, name) => {
      const visited = candidates(pool, name).toArray()
      const { network, span } = pool
      return (
        visited.length === poolSize(pool) &&
        new Set(visited).size === visited.length &&
        visited.every((address) => network < address && address < network + span - 1 && poolContains(pool, address))
      )
    }),
  )
})

t.test('candidates come from the upper half first', async () => {
  fc.assert(
    fc.property(smallPool, anyName, (pool, name) => {
      const half = pool.span / 2
      const upper = candidates(pool, name)
        .toArray()
        .map((address) => address >= pool.network + half)
      return upper.every((isUpper, index) => isUpper === index < half - 1)
    }),
  )
})

t.test('the same name has the same candidates', async () => {
  fc.assert(
    fc.property(smallPool, anyName, (pool, name) => {
      const again = candidates({ ...pool }, name)
      return candidates(pool, name).every((address) => again.next().value === address)
    }),
  )
})

t.test('a pool of any size costs the same until it is asked for more', async () => {
  fc.assert(
    fc.property(anyName, (name) => {
      const [first] = candidates(createPool('240.0.0.0/4'), name).take(1)
      return first !== undefined && Number.isInteger(first) && first >= 0xf8000000 && first < 2 ** 32 - 1
    }),
  )
})

t.test('a thousand names that differ in their number spread over the upper half', async (t) => {
  const names = Array.from({ length: 1000 }, (_, index) => `shop/orders-${index}`)
  const first = new Set(names.map((name) => addresses('240.240.0.0/16', name, 1)[0]))
  t.ok(first.size > 970, `${first.size} addresses, where 985 are expected of chance`)
})

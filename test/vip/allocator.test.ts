import t from 'tap'
import { parseObject } from '../../src/api/kinds.ts'
import { ObjectStore } from '../../src/view/object-store.ts'
import type { Cluster } from '../../src/view/view.ts'
import { allocate } from '../../src/vip/allocator.ts'
import { type Claims, MemoryClaims } from '../../src/vip/claims.ts'
import { candidateAddresses, createPool } from '../../src/vip/pools.ts'

const orders = { namespace: 'shop', name: 'orders' }
const pools = [createPool({ cidr: '10.0.0.0/29' })]

/** The candidates of shop/orders in this pool: 6, 4, 5, 2, 3, 1. */
const candidate = (...last: number[]) => last.map((byte) => `10.0.0.${byte}`)

const service = (name: string, ...externalIPs: string[]) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace: 'shop', name },
  spec: { externalIPs },
})

const claim = (address: string, name: string) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'IPAddress',
  metadata: { name: address },
  spec: { parentRef: { group: '', resource: 'services', namespace: 'shop', name } },
})

const serviceEntry = (...addresses: string[]) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { namespace: 'shop', name: 'pay' },
  spec: { hosts: ['pay.example.com'], addresses },
})

const storeOf = (objects: object[]): ObjectStore => {
  const store = new ObjectStore({ clusterDomain: 'cluster.local', unlistedNamespacesSelected: true })
  for (const object of objects) {
    const known = parseObject(object)
    if (known !== undefined) store.put(known)
  }
  return store
}

const clusterOf = (store: ObjectStore): Cluster => ({
  async ask(question, signal) {
    signal.throwIfAborted()
    return question(store)
  },
  decide: async (question) => question(store),
})

const setUp = (...objects: object[]) => {
  const store = storeOf(objects)
  return {
    store,
    cluster: clusterOf(store),
    claims: new MemoryClaims(store),
    pools,
    dryRun: false,
    signal: new AbortController().signal,
  }
}

t.test('which address a Service gets', async (t) => {
  const rows: [story: string, objects: object[], previous: string[], expected: string | undefined][] = [
    ['the first candidate of its name', [], [], '10.0.0.6'],
    ['the next one, where another Service has the first', [service('pay', '10.0.0.6')], [], '10.0.0.4'],
    ['the next one, where the first is claimed for another', [claim('10.0.0.6', 'pay')], [], '10.0.0.4'],
    ['the next one, where a ServiceEntry has the first', [serviceEntry('10.0.0.6')], [], '10.0.0.4'],
    ['the next one outside the range of a ServiceEntry', [serviceEntry('10.0.0.4/30')], [], '10.0.0.2'],
    ['the one that it has', [service('orders', '10.0.0.3')], ['10.0.0.3'], '10.0.0.3'],
    ['the one that it had', [], ['10.0.0.3'], '10.0.0.3'],
    ['the first of those that it had', [], ['10.0.0.1', '10.0.0.3'], '10.0.0.1'],
    ['the one that is claimed for it', [claim('10.0.0.1', 'orders')], [], '10.0.0.1'],
    ['the one that it had before the one that is claimed', [claim('10.0.0.1', 'orders')], ['10.0.0.3'], '10.0.0.3'],
    ['a new one, where another took what it had', [service('pay', '10.0.0.3')], ['10.0.0.3'], '10.0.0.6'],
    ['the other one that it had', [service('pay', '10.0.0.3')], ['10.0.0.3', '10.0.0.5'], '10.0.0.5'],
    ['a new one, where what it had is in no pool', [], ['192.0.2.1', '10.0.0.7', 'nonsense'], '10.0.0.6'],
    ['a new one, where what is claimed for it is in no pool', [claim('192.0.2.1', 'orders')], [], '10.0.0.6'],
    [
      'a new one, where another has what is claimed for it',
      [claim('10.0.0.1', 'orders'), service('pay', '10.0.0.1')],
      [],
      '10.0.0.6',
    ],
    ['the last one', [service('pay', ...candidate(6, 4, 5, 2, 3))], [], '10.0.0.1'],
    ['none, where the pools are full', [service('pay', ...candidate(1, 2, 3, 4, 5, 6))], [], undefined],
    [
      'its own, in pools that are full',
      [service('pay', ...candidate(1, 2, 3, 4, 5)), service('orders', '10.0.0.6')],
      [],
      '10.0.0.6',
    ],
  ]
  for (const [story, objects, previous, expected] of rows) {
    t.equal(await allocate(orders, 4, previous, setUp(...objects)), expected, story)
  }
})

t.test('what it had it keeps, though a view that is behind has another there', async (t) => {
  for (const gone of [claim('10.0.0.3', 'pay'), service('pay', '10.0.0.3')]) {
    const circumstances = setUp(claim('10.0.0.3', 'orders'))
    const behind = storeOf([gone])
    const cluster: Cluster = {
      ask: async (question) => question(behind),
      decide: async (question, isGrave) => {
        const answer = question(behind)
        return isGrave(answer) ? question(circumstances.store) : answer
      },
    }
    t.equal(await allocate(orders, 4, ['10.0.0.3'], { ...circumstances, cluster }), '10.0.0.3')
  }
})

t.test('a Service of the same name in another namespace is another one', async (t) => {
  const circumstances = setUp(service('orders', '10.0.0.6'))
  t.not(await allocate({ namespace: 'test', name: 'orders' }, 4, ['10.0.0.6'], circumstances), '10.0.0.6')
})

t.test('of a large pool that is almost full the last address is found without looking at all the others', async (t) => {
  const pools = [createPool({ cidr: '10.0.0.0/16' })]
  const all = Array.from({ length: 65534 }, (_, index) => `10.0.${(index + 1) >> 8}.${(index + 1) & 255}`)
  const [last = ''] = [...candidateAddresses(pools, 'shop/orders')].slice(-1)
  const circumstances = { ...setUp(service('pay', ...all.filter((address) => address !== last))), pools }
  const look = t.capture(circumstances.store, 'holders', circumstances.store.holders)
  t.equal(await allocate(orders, 4, [], circumstances), last)
  t.ok(
    look().length <= 3 * 16,
    'those of its own block, and of two that have fewer since one address is not in the pool',
  )
  t.equal(await allocate({ namespace: 'shop', name: 'late' }, 4, [], circumstances), undefined)
})

t.test('the ranges of ServiceEntries are passed over', async (t) => {
  const pools = [createPool({ cidr: 'fd00::/48' })]
  const circumstances = { ...setUp(serviceEntry('fd00:0:0:8000::/49', 'fd00::/50')), pools }
  const address = await allocate(orders, 6, [], circumstances)
  t.match(address, /^fd00::[4-7]/)
  t.equal(await allocate(orders, 6, [], circumstances), address)
})

t.test('a Service is given an address of the pools that are for its namespace', async (t) => {
  const ofStock = createPool({ cidr: '10.0.0.0/29', namespaceSelector: { matchLabels: { team: 'stock' } } })
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels: { team: 'shop' } } }
  const circumstances = { ...setUp(namespace), pools: [ofStock, createPool({ cidr: '10.9.0.0/30' })] }
  t.equal(await allocate(orders, 4, [], circumstances), '10.9.0.2')
  t.equal(await allocate(orders, 4, ['10.0.0.3'], circumstances), '10.0.0.3', 'but keeps what it had before')
  t.equal(await allocate(orders, 6, [], circumstances), undefined, 'of no other family')
})

t.test('a claim on an address of a pool that is for its namespace no more is not used again', async (t) => {
  const ofStock = createPool({ cidr: '10.0.0.0/29', namespaceSelector: { matchLabels: { team: 'stock' } } })
  const circumstances = setUp(claim('10.0.0.3', 'orders'))
  const namespace = parseObject({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } })
  t.equal(await allocate(orders, 4, [], { ...circumstances, pools: [ofStock] }), '10.0.0.3', 'it was for it')
  if (namespace !== undefined) circumstances.store.put(namespace)
  const pools = [ofStock, createPool({ cidr: '10.9.0.0/30' })]
  t.equal(await allocate(orders, 4, [], { ...circumstances, pools }), '10.9.0.2')
})

t.test('whoever is faster is told of', async (t) => {
  const { claims } = contested('10.0.0.6', '10.0.0.4')
  const conflicts: string[] = []
  await allocate(orders, 4, [], { ...setUp(), claims, onConflict: (address) => conflicts.push(address) })
  t.strictSame(conflicts, candidate(6, 4))
})

t.test('a second pool takes what the first cannot', async (t) => {
  const circumstances = setUp(service('pay', '10.0.0.1', '10.0.0.2'))
  const small = [createPool({ cidr: '10.0.0.0/30' }), createPool({ cidr: '10.9.0.0/30' })]
  t.equal(await allocate(orders, 4, [], { ...circumstances, pools: small }), '10.9.0.2')
})

t.test('what is allocated is claimed, and comes again when asked again', async (t) => {
  const circumstances = setUp()
  t.equal(await allocate(orders, 4, [], circumstances), '10.0.0.6')
  t.strictSame(circumstances.store.claim('10.0.0.6')?.service, orders)
  t.equal(await allocate(orders, 4, [], circumstances), '10.0.0.6')
  t.strictSame(circumstances.store.claimsOf(orders), ['10.0.0.6'])
})

t.test('a dry run comes to the same address and leaves nothing behind', async (t) => {
  const circumstances = setUp(service('pay', '10.0.0.6'))
  t.equal(await allocate(orders, 4, [], { ...circumstances, dryRun: true }), '10.0.0.4')
  t.strictSame(circumstances.store.claimsOf(orders), [])
  t.equal(await allocate(orders, 4, [], circumstances), '10.0.0.4')
})

t.test('no two Services get the same address, and the pool is used to the last one', async (t) => {
  const circumstances = setUp()
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
  const given = await Promise.all(names.map((name) => allocate({ namespace: 'shop', name }, 4, [], circumstances)))
  t.strictSame(given.filter((address) => address !== undefined).sort(), candidate(1, 2, 3, 4, 5, 6))
  t.equal(given.filter((address) => address === undefined).length, 1)
})

/** Claims that others hold without the view knowing it. */
const contested = (...taken: string[]) => {
  const asked: { address: string; dryRun: boolean; signal: AbortSignal }[] = []
  const claims: Claims = {
    async claim(address, _, { dryRun, signal }) {
      asked.push({ address, dryRun, signal })
      return !taken.includes(address)
    },
  }
  return { claims, asked }
}

t.test('where somebody was faster, the next candidate is claimed, and no address twice', async (t) => {
  const { claims, asked } = contested('10.0.0.3', '10.0.0.6', '10.0.0.4')
  t.equal(await allocate(orders, 4, ['10.0.0.3'], { ...setUp(), claims }), '10.0.0.5')
  t.strictSame(
    asked.map(({ address }) => address),
    candidate(3, 6, 4, 5),
  )
})

t.test('where every address is lost to others, there is none', async (t) => {
  const { claims, asked } = contested(...candidate(1, 2, 3, 4, 5, 6))
  t.equal(await allocate(orders, 4, [], { ...setUp(), claims }), undefined)
  t.equal(asked.length, 6)
})

t.test('a claim is made under the request: its dry run, its time', async (t) => {
  const circumstances = setUp()
  for (const dryRun of [true, false]) {
    const { claims, asked } = contested()
    await allocate(orders, 4, [], { ...circumstances, claims, dryRun })
    t.strictSame(
      asked.map((options) => options.dryRun),
      [dryRun],
    )
    t.equal(asked[0]?.signal, circumstances.signal)
  }
})

t.test('a cluster that cannot be reached in time is no answer', async (t) => {
  const late = new Error('out of time')
  await t.rejects(allocate(orders, 4, [], { ...setUp(), signal: AbortSignal.abort(late) }), late)
})

t.test('a claim that cannot be made is no answer', async (t) => {
  const broken = new Error('connection refused')
  const claims: Claims = { claim: () => Promise.reject(broken) }
  await t.rejects(allocate(orders, 4, [], { ...setUp(), claims }), broken)
})

import t from 'tap'
import { parseCidr } from '../../src/api/address.ts'
import { ledger, usageOf } from '../../src/vip/ledger.ts'
import { createPool } from '../../src/vip/pools.ts'
import { claim, service, serviceEntry, storeOf } from '../support/objects.ts'

const pools = [createPool({ cidr: '10.9.0.0/24', exclude: ['10.9.0.0/28'] }), createPool({ cidr: 'fd00::/48' })]
const policy = { pools, allowedExternalIPs: [parseCidr('192.0.2.0/24')] }

const balanced = (name: string, ip: string) => ({
  ...service(name, { type: 'LoadBalancer' }),
  status: { loadBalancer: { ingress: [{ ip }] } },
})

const parent = (address: string, resource: string) => ({
  ...claim(address, 'shop/a'),
  spec: { parentRef: { group: 'example.com', resource, namespace: 'shop', name: 'public' } },
})

const at = (address: string) => ({ externalIPs: [address] })

t.test('what becomes of an address', async (t) => {
  const own = '10.9.0.200'
  const rows: [story: string, objects: object[], state: string | undefined, services?: string[], others?: string[]][] =
    [
      ['held by one Service', [service('a', at(own)), claim(own, 'shop/a')], 'held', ['shop/a']],
      ['without a claim', [service('a', at(own))], 'unclaimed', ['shop/a']],
      ['claimed for another that has it not', [service('a', at(own)), claim(own, 'shop/b')], 'unclaimed', ['shop/a']],
      ['claimed for a Service that is gone', [claim(own, 'shop/a')], 'orphaned', []],
      ['claimed for a Service with another', [service('a', at('10.9.0.201')), claim(own, 'shop/a')], 'orphaned', []],
      [
        'of two Services',
        [service('a', at(own)), service('b', at(own)), claim(own, 'shop/b')],
        'duplicate',
        ['shop/a', 'shop/b'],
      ],
      [
        'of a Service and a ServiceEntry',
        [service('a', at(own)), serviceEntry('e', [own]), claim(own, 'shop/a')],
        'duplicate',
        ['shop/a'],
        ['ServiceEntry shop/e'],
      ],
      [
        'of a Service, and in the range of a ServiceEntry',
        [service('a', at(own)), serviceEntry('e', ['10.9.0.192/26']), claim(own, 'shop/a')],
        'duplicate',
        ['shop/a'],
        ['ServiceEntry shop/e'],
      ],
      [
        'of a Service, where a ServiceEntry takes in the whole pool',
        [service('a', at(own)), serviceEntry('e', ['10.0.0.0/8']), claim(own, 'shop/a')],
        'held',
        ['shop/a'],
      ],
      [
        'of a Service and a load balancer',
        [service('a', at(own)), balanced('l', own), claim(own, 'shop/a')],
        'duplicate',
        ['shop/a'],
        ['load balancer of Service shop/l'],
      ],
      ['of a ServiceEntry', [serviceEntry('e', [own])], 'foreign', [], ['ServiceEntry shop/e']],
      [
        'of two ServiceEntries, and no Service lists it',
        [serviceEntry('e', [own]), serviceEntry('f', [own])],
        'foreign',
        [],
        ['ServiceEntry shop/e', 'ServiceEntry shop/f'],
      ],
      [
        'of two ServiceEntries, and claimed for a Service that is gone',
        [serviceEntry('e', [own]), serviceEntry('f', [own]), claim(own, 'shop/a')],
        'foreign',
        [],
        ['ServiceEntry shop/e', 'ServiceEntry shop/f'],
      ],
      ['of a ServiceEntry twice', [serviceEntry('e', [own, '10.9.0.192/26'])], 'foreign', [], ['ServiceEntry shop/e']],
      ['of a load balancer', [balanced('l', own)], 'foreign', [], ['load balancer of Service shop/l']],
      ['claimed for something that is no Service', [parent(own, 'gateways')], 'foreign', [], ['gateways shop/public']],
      ['excluded from the pool', [service('a', at('10.9.0.7'))], 'outside', ['shop/a']],
      ['of no pool', [service('a', at('203.0.113.7'))], 'outside', ['shop/a']],
      ['of no pool, on the allow-list', [service('a', at('192.0.2.7'))], undefined],
      ['of no pool, of an ordinary Service', [service('a', { ...at('203.0.113.7'), selector: { a: 'b' } })], undefined],
      ['of no pool, of a ServiceEntry', [serviceEntry('e', ['203.0.113.7'])], undefined],
      ['of no pool any more, and claimed for a Service that is gone', [claim('203.0.113.7', 'shop/a')], 'orphaned', []],
      [
        'of no pool any more, on the allow-list, and claimed',
        [service('a', at('192.0.2.7')), claim('192.0.2.7', 'shop/a')],
        'held',
        ['shop/a'],
      ],
      ['of no pool, claimed for something that is no Service', [parent('203.0.113.7', 'gateways')], undefined],
      ['that is none', [service('a', at('nonsense'))], 'outside', ['shop/a']],
      ['of an IPv6 pool', [service('a', at('fd00::7')), claim('fd00::7', 'shop/a')], 'held', ['shop/a']],
    ]
  for (const [story, objects, state, services = [], others = []] of rows) {
    const records = ledger(storeOf(...objects), policy).filter(({ address }) => address !== '10.9.0.201')
    t.strictSame(
      records.map((record) => ({
        state: record.state,
        services: record.services.map(({ namespace, name }) => `${namespace}/${name}`),
        others: record.others,
      })),
      state === undefined ? [] : [{ state, services, others }],
      story,
    )
  }
})

t.test('a Service of many external IPs is no work', async (t) => {
  const externalIPs = Array.from({ length: 60_000 }, (_, i) => `203.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)
  const store = storeOf(service('a', { externalIPs, selector: { a: 'b' } }))
  const before = process.cpuUsage()
  t.strictSame(ledger(store, policy), [])
  const { user, system } = process.cpuUsage(before)
  t.ok(user + system < 1e6, `${user + system} microseconds`)
})

t.test('how much of the pools is used', async (t) => {
  const store = storeOf(
    service('a', at('10.9.0.200')),
    claim('10.9.0.201', 'shop/b'),
    serviceEntry('e', ['10.9.0.202']),
    service('c', at('203.0.113.7')),
    service('d', at('fd00::7')),
  )
  t.match(usageOf(pools, ledger(store, policy)), [
    { pool: pools[0], size: 239n, used: 3, free: 236n, reserved: 17n },
    { pool: pools[1], size: 2n ** 80n - 2n, used: 1, free: 2n ** 80n - 3n, reserved: 2n },
  ])
})

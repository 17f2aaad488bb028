import t from 'tap'
import { addressList } from '../../src/address-list/address-list.ts'
import { parseCidr } from '../../src/api/address.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { createPool } from '../../src/vip/pools.ts'
import { addressesStore } from '../fixtures/addresses.ts'
import { claim, endpointSlice, meshNamespace, service, serviceEntry, storeOf } from '../support/objects.ts'

const stateOf = (...objects: object[]) =>
  addressList(storeOf(meshNamespace('shop'), ...objects), defaultPolicy).addresses.map(
    ({ address, state }) => `${address} ${state}`,
  )

t.test('the whole object, as programs read it', async (t) => {
  t.strictSame(addressList(await addressesStore(), defaultPolicy), {
    apiVersion: 'meshvip.dev/v1',
    kind: 'AddressList',
    pools: [{ cidr: '240.240.0.0/16', size: '65534', used: 5, free: '65529', reserved: '2' }],
    addresses: [
      { address: '192.0.2.7', state: 'outside', services: [{ namespace: 'shop', name: 'returns' }], others: [] },
      {
        address: '240.240.0.1',
        pool: '240.240.0.0/16',
        state: 'foreign',
        services: [],
        others: ['ServiceEntry payments/bank'],
      },
      {
        address: '240.240.0.9',
        pool: '240.240.0.0/16',
        state: 'unclaimed',
        services: [{ namespace: 'shop', name: 'stock' }],
        others: [],
      },
      {
        address: '240.240.0.10',
        pool: '240.240.0.0/16',
        state: 'duplicate',
        services: [
          { namespace: 'shop', name: 'carts' },
          { namespace: 'payments', name: 'carts' },
        ],
        others: [],
        claim: {
          parent: 'Service shop/carts',
          service: { namespace: 'shop', name: 'carts' },
          claimedAt: '2026-03-13T08:15:00Z',
        },
      },
      {
        address: '240.240.130.2',
        pool: '240.240.0.0/16',
        state: 'orphaned',
        services: [],
        others: [],
        claim: {
          parent: 'Service shop/gone',
          service: { namespace: 'shop', name: 'gone' },
          claimedAt: '2026-03-01T09:00:00Z',
        },
      },
      {
        address: '240.240.225.190',
        pool: '240.240.0.0/16',
        state: 'held',
        services: [{ namespace: 'shop', name: 'orders' }],
        others: [],
        claim: {
          parent: 'Service shop/orders',
          service: { namespace: 'shop', name: 'orders' },
          claimedAt: '2026-03-01T09:00:00Z',
        },
      },
    ],
  })
})

t.test('what a claim does not say is left out', async (t) => {
  const foreign = {
    ...claim('240.240.0.7', 'shop/a'),
    spec: { parentRef: { group: 'example.com', resource: 'gateways', namespace: 'shop', name: 'public' } },
  }
  const list = addressList(storeOf(foreign), defaultPolicy)
  t.strictSame(list.addresses[0]?.claim, { parent: 'gateways shop/public' })
})

t.test('addresses are in numerical order, and what is none comes last', async (t) => {
  const pools = [createPool({ cidr: '10.0.0.0/8' }), createPool({ cidr: 'fd00::/48' })]
  const addresses = ['fd00::10', '10.9.0.10', 'fd00::9', '10.10.0.1', 'nonsense', '10.9.0.9', '192.0.2.1', '::7']
  const store = storeOf(
    meshNamespace('shop'),
    ...addresses.map((address, index) => service(`s${index}`, { externalIPs: [address] })),
  )
  t.strictSame(
    addressList(store, { ...defaultPolicy, pools }).addresses.map(({ address }) => address),
    ['10.9.0.9', '10.9.0.10', '10.10.0.1', '192.0.2.1', '::7', 'fd00::9', 'fd00::10', 'nonsense'],
  )
})

t.test('counts of a pool of any size are exact', async (t) => {
  const pools = [createPool({ cidr: 'fd00::/48', exclude: ['fd00::/64'] }), createPool({ cidr: '10.9.0.0/30' })]
  const store = storeOf(serviceEntry('e', ['fd00:0:0:7::7']), claim('10.9.0.1', 'shop/a'), claim('10.9.0.2', 'shop/b'))
  t.strictSame(addressList(store, { ...defaultPolicy, pools }).pools, [
    {
      cidr: 'fd00::/48',
      size: String(2n ** 80n - 2n ** 64n - 1n),
      used: 1,
      free: String(2n ** 80n - 2n ** 64n - 2n),
      reserved: String(2n ** 64n + 1n),
    },
    { cidr: '10.9.0.0/30', size: '2', used: 2, free: '0', reserved: '2' },
  ])
})

t.test('outside the pools only virtual hosts are shown', async (t) => {
  const outside = { externalIPs: ['192.0.2.7'] }
  t.strictSame(stateOf(service('a', outside)), ['192.0.2.7 outside'])
  t.strictSame(stateOf(service('a', outside), endpointSlice('a-1', 'a')), [], 'endpoints were made by hand')
  const elsewhere = service('a', outside, { namespace: 'legacy' })
  t.strictSame(stateOf(elsewhere), [], 'its namespace is none of the mesh')
  const both = storeOf(meshNamespace('shop'), service('a', outside), elsewhere)
  t.match(addressList(both, defaultPolicy).addresses, [{ services: [{ namespace: 'shop', name: 'a' }] }])
  const policy = { ...defaultPolicy, allowedExternalIPs: [parseCidr('192.0.2.0/24')] }
  t.strictSame(addressList(both, policy).addresses, [], 'it is on the allow-list')
})

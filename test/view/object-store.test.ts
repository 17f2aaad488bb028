import fc from 'fast-check'
import t from 'tap'
import { type Address, covers, parseAddress } from '../../src/api/address.ts'
import { parseObject } from '../../src/api/kinds.ts'
import { parseServiceEntry, type ServiceEntry } from '../../src/api/service-entry.ts'
import { ObjectStore } from '../../src/view/object-store.ts'

type Metadata = { name: string; namespace?: string; labels?: Record<string, string> }

const object = (apiVersion: string, kind: string, metadata: Metadata, rest: object = {}) => ({
  apiVersion,
  kind,
  metadata,
  ...rest,
})

const service = (name: string, spec: object = {}, ingress: object[] = []) =>
  object('v1', 'Service', { namespace: 'shop', name }, { spec, status: { loadBalancer: { ingress } } })

const virtualService = (name: string, ...hosts: string[]) =>
  object('networking.istio.io/v1', 'VirtualService', { namespace: 'shop', name }, { spec: { hosts } })

const serviceEntry = (name: string, spec: object, ...assigned: string[]) =>
  object(
    'networking.istio.io/v1',
    'ServiceEntry',
    { namespace: 'shop', name },
    { spec, status: { addresses: assigned.map((value) => ({ value })) } },
  )

const claim = (address: string, parentRef: object) =>
  object('networking.k8s.io/v1', 'IPAddress', { name: address }, { spec: { parentRef } })

const claimFor = (address: string, name: string) =>
  claim(address, { group: '', resource: 'services', namespace: 'shop', name })

const endpointSlice = (name: string, ofService: string) =>
  object('discovery.k8s.io/v1', 'EndpointSlice', {
    namespace: 'shop',
    name,
    labels: { 'kubernetes.io/service-name': ofService },
  })

const storeOf = (...objects: object[]) => {
  const store = new ObjectStore({ clusterDomain: 'cluster.local', unlistedNamespacesSelected: false })
  for (const raw of objects) {
    const known = parseObject(raw)
    if (known !== undefined) store.put(known)
  }
  return store
}

const names = (objects: Iterable<{ name: string }>) => Array.from(objects, ({ name }) => name)
const inShop = (name: string) => ({ namespace: 'shop', name })

t.test('an empty store knows nothing', async (t) => {
  const store = storeOf()
  t.equal(store.namespace('shop'), undefined)
  t.equal(store.service(inShop('orders')), undefined)
  t.strictSame(store.servicesUnder('*'), [])
  t.strictSame(store.serviceEntries('pay.example.com'), [])
  t.strictSame(store.serviceEntries('*'), [])
  t.strictSame(store.virtualServices('orders.shop.svc.cluster.local'), [])
  t.strictSame(store.virtualServicesTo('orders.shop.svc.cluster.local'), [])
  t.strictSame(store.destinationRules('orders.shop.svc.cluster.local'), [])
  t.strictSame(names(store.virtualHostCandidates('shop', 80)), [])
  t.strictSame(store.endpointSlices(inShop('orders')), [])
  t.strictSame(store.holders('240.240.0.1'), [])
  t.equal(store.claim('240.240.0.1'), undefined)
  t.strictSame(store.claimsOf(inShop('orders')), [])
})

t.test('whether namespaces that are not listed belong to the mesh is said at the start', async (t) => {
  for (const unlistedNamespacesSelected of [true, false]) {
    const store = new ObjectStore({ clusterDomain: 'cluster.local', unlistedNamespacesSelected })
    t.equal(store.unlistedNamespacesSelected, unlistedNamespacesSelected)
  }
})

t.test('namespaces and Services are found by name', async (t) => {
  const labels = { 'istio-injection': 'enabled' }
  const store = storeOf(object('v1', 'Namespace', { name: 'shop', labels }), service('orders', { type: 'NodePort' }))
  t.strictSame(store.namespace('shop'), {
    namespace: '',
    name: 'shop',
    labels: new Map([['istio-injection', 'enabled']]),
  })
  t.match(store.service(inShop('orders')), { name: 'orders', type: 'NodePort' })
  t.equal(store.service({ namespace: 'test', name: 'orders' }), undefined)
})

t.test('the Services under a wildcard', async (t) => {
  const store = storeOf(
    service('orders'),
    service('pay'),
    object('v1', 'Service', { namespace: 'test', name: 'orders' }),
  )
  const under = (wildcard: string) => store.servicesUnder(wildcard).map(({ namespace, name }) => `${namespace}/${name}`)
  t.strictSame(under('*.shop.svc.cluster.local'), ['shop/orders', 'shop/pay'])
  t.strictSame(under('*.svc.cluster.local'), ['shop/orders', 'shop/pay', 'test/orders'])
  t.strictSame(under('*'), ['shop/orders', 'shop/pay', 'test/orders'])
  t.strictSame(under('*.shop.svc.corp.example'), [])
  t.strictSame(under('*.op.svc.cluster.local'), [])
})

t.test('the Services of a namespace on a port that may be virtual hosts', async (t) => {
  const on = (...ports: number[]) => ({ ports: ports.map((port) => ({ name: `http-${port}`, port })) })
  const labelled = (name: string, value: string, spec: object) =>
    object('v1', 'Service', { namespace: 'shop', name, labels: { 'meshvip.dev/virtual-host': value } }, { spec })
  const selector = { app: 'orders' }
  const store = storeOf(
    service('orders', on(3111, 3112)),
    service('pods', { ...on(3111), selector }),
    service('typed', { ...on(3111), type: 'NodePort' }),
    labelled('by-label', 'true', { ...on(3111), selector }),
    labelled('ordinary', 'false', on(3111)),
    object('v1', 'Service', { namespace: 'test', name: 'orders' }, { spec: on(3111) }),
  )
  t.strictSame(names(store.virtualHostCandidates('shop', 3111)), ['orders', 'by-label'])
  t.strictSame(names(store.virtualHostCandidates('shop', 3112)), ['orders'])
  t.strictSame(names(store.virtualHostCandidates('test', 3111)), ['orders'])
  t.strictSame(names(store.virtualHostCandidates('shop', 80)), [])
})

t.test('the VirtualServices that route to a host, or mirror to it', async (t) => {
  const routing = (name: string, ...http: object[]) =>
    object('networking.istio.io/v1', 'VirtualService', { namespace: 'shop', name }, { spec: { http } })
  const destination = (host: string) => ({ destination: { host } })
  const store = storeOf(
    routing('full', { route: [destination('pay.shop.svc.cluster.local'), destination('orders')] }),
    routing('short', { route: [destination('Pay')] }),
    routing('mirror', { route: [destination('orders')], mirror: { host: 'pay' } }),
    routing('other', { route: [destination('pay.test.svc.cluster.local')] }),
  )
  t.strictSame(names(store.virtualServicesTo('pay.shop.svc.cluster.local')), ['full', 'short', 'mirror'])
  t.strictSame(names(store.virtualServicesTo('orders.shop.svc.cluster.local')), ['full', 'mirror'])
  store.delete('VirtualService', inShop('full'))
  t.strictSame(names(store.virtualServicesTo('orders.shop.svc.cluster.local')), ['mirror'])
})

t.test('the VirtualServices that have a delegate, which is in their own namespace unless they say so', async (t) => {
  const delegating = (name: string, ...delegates: object[]) =>
    object(
      'networking.istio.io/v1',
      'VirtualService',
      { namespace: 'shop', name },
      { spec: { hosts: ['orders'], http: [...delegates.map((delegate) => ({ delegate })), { route: [] }] } },
    )
  const store = storeOf(
    delegating('own', { name: 'routes' }),
    delegating('named', { name: 'more' }, { name: 'routes', namespace: 'shop' }),
    delegating('other', { name: 'routes', namespace: 'stock' }),
    delegating('none'),
  )
  t.strictSame(names(store.virtualServicesWithDelegate(inShop('routes'))), ['own', 'named'])
  t.strictSame(names(store.virtualServicesWithDelegate({ namespace: 'stock', name: 'routes' })), ['other'])
  t.equal(store.virtualService(inShop('own'))?.name, 'own')
  t.equal(store.virtualService(inShop('routes')), undefined)
})

t.test('a host that is too long for DNS is under no wildcard, and no work', async (t) => {
  const store = storeOf(virtualService('all', '*.local'))
  const host = `${'a.'.repeat(200)}cluster.local`
  t.strictSame(store.virtualServices(host), [])
  t.strictSame(names(store.virtualServices('a.cluster.local')), ['all'])
})

t.test('the DestinationRules for a host, or for a wildcard over it', async (t) => {
  const rule = (name: string, host: string) =>
    object('networking.istio.io/v1', 'DestinationRule', { namespace: 'shop', name }, { spec: { host } })
  const store = storeOf(
    rule('all', '*'),
    rule('short', 'pay'),
    rule('shop', '*.shop.svc.cluster.local'),
    rule('o', 'o'),
  )
  t.strictSame(names(store.destinationRules('pay.shop.svc.cluster.local')), ['short', 'shop', 'all'])
  t.strictSame(names(store.destinationRules('pay.example.com')), ['all'])
})

t.test('what lies under a wildcard is what looking at all Services finds', async () => {
  const label = fc.constantFrom('a', 'b', 'ab', 'svc', 'cluster', 'local')
  const services = fc.array(fc.record({ namespace: label, name: label }))
  const ends = ['', '.local', '.cluster.local', '.svc.cluster.local', 'cal', 'svc.cluster.local', '.example.com']
  const wildcard = fc
    .tuple(fc.array(label, { maxLength: 3 }), fc.constantFrom(...ends), fc.constantFrom('*', '*.'))
    .map(([labels, end, start]) => `${start}${labels.join('.')}${end}`.replace('..', '.'))
    // An asterisk stands for whole labels.
    .filter((pattern) => pattern === '*' || pattern.startsWith('*.'))
  fc.assert(
    fc.property(services, wildcard, (all, pattern) => {
      const store = storeOf(...all.map((metadata) => object('v1', 'Service', metadata)))
      const expected = new Set(
        all
          .map(({ namespace, name }) => `${name}.${namespace}.svc.cluster.local`)
          .filter((host) => host.endsWith(pattern.slice(1))),
      )
      const found = store.servicesUnder(pattern).map(({ namespace, name }) => `${name}.${namespace}.svc.cluster.local`)
      return found.length === expected.size && found.every((host) => expected.has(host))
    }),
    { numRuns: 1000 },
  )
})

t.test('the ServiceEntries that list a host, or hosts under a wildcard', async (t) => {
  const store = storeOf(
    serviceEntry('pay', { hosts: ['pay.example.com', 'pay.example.org'] }),
    serviceEntry('all', { hosts: ['*.example.com'] }),
    serviceEntry('pay-again', { hosts: ['pay.example.com'] }),
  )
  t.strictSame(names(store.serviceEntries('pay.example.com')), ['pay', 'pay-again', 'all'])
  t.strictSame(names(store.serviceEntries('pay.example.org')), ['pay'])
  t.strictSame(names(store.serviceEntries('other.example.com')), ['all'], 'a wildcard entry is over it')
  t.strictSame(names(store.serviceEntries('*.example.com')), ['pay', 'all', 'pay-again'])
  t.strictSame(names(store.serviceEntries('*.example.org')), ['pay'])
  t.strictSame(names(store.serviceEntries('*.pay.example.com')), ['all'])
  t.strictSame(names(store.serviceEntries('*.pay.example.net')), [])
})

t.test('the VirtualServices that list a host, in any spelling that Istio takes for it', async (t) => {
  const store = storeOf(
    virtualService('full', 'orders.shop.svc.cluster.local'),
    virtualService('short', 'pay', 'orders'),
    virtualService('upper', 'ORDERS.shop.svc.cluster.local'),
    virtualService('dotted', 'orders.shop'),
    virtualService('wild', '*.shop.svc.cluster.local'),
    object(
      'networking.istio.io/v1',
      'VirtualService',
      { namespace: 'test', name: 'other' },
      { spec: { hosts: ['orders'] } },
    ),
  )
  t.strictSame(names(store.virtualServices('orders.shop.svc.cluster.local')), ['full', 'short', 'upper', 'wild'])
  t.strictSame(names(store.virtualServices('pay.shop.svc.cluster.local')), ['short', 'wild'])
  t.strictSame(names(store.virtualServices('orders.test.svc.cluster.local')), ['other'])
  t.strictSame(names(store.virtualServices('orders.shop')), ['dotted'])
  t.strictSame(names(store.virtualServices('*.shop.svc.cluster.local')), ['wild'])
})

t.test('the EndpointSlices of a Service', async (t) => {
  const store = storeOf(
    endpointSlice('orders-a', 'orders'),
    endpointSlice('orders-b', 'orders'),
    endpointSlice('pay-a', 'pay'),
  )
  t.strictSame(names(store.endpointSlices(inShop('orders'))), ['orders-a', 'orders-b'])
  t.strictSame(names(store.endpointSlices({ namespace: 'test', name: 'orders' })), [])
})

t.test('who holds an address', async (t) => {
  const store = storeOf(
    serviceEntry('pay', { hosts: ['pay.example.com'], addresses: ['240.240.0.5'] }),
    serviceEntry('range', { hosts: ['range.example.com'], addresses: ['240.240.7.0/24', '10.0.0.0/8'] }),
    serviceEntry('careless', { hosts: ['careless.example.com'], addresses: ['240.240.9.1/24'] }),
    serviceEntry('assigned', { hosts: ['assigned.example.com'] }, '240.240.0.6'),
    service('orders', { externalIPs: ['240.240.0.7', '240.240.0.5'] }),
    service('edge', { externalIPs: ['192.0.2.8'] }, [{ ip: '192.0.2.8' }, { ip: '192.0.2.9' }]),
    claimFor('240.240.0.5', 'cart'),
    claim('240.240.0.8', { group: 'gateway.networking.k8s.io', resource: 'gateways', namespace: 'shop', name: 'edge' }),
  )
  const serviceHolder = (name: string) => ({
    kind: 'Service',
    name: inShop(name),
    service: inShop(name),
    text: `Service shop/${name}`,
  })
  const [ordersHolder, edgeHolder] = [serviceHolder('orders'), serviceHolder('edge')]
  const address = (name: string) => ({ namespace: '', name })
  const cartHolder = {
    kind: 'IPAddress',
    name: address('240.240.0.5'),
    service: inShop('cart'),
    text: 'Service shop/cart',
  }
  const gatewayHolder = {
    kind: 'IPAddress',
    name: address('240.240.0.8'),
    service: undefined,
    text: 'gateways shop/edge',
  }
  const entryHolder = (name: string, range?: number) => ({
    kind: 'ServiceEntry',
    name: inShop(name),
    service: undefined,
    text: `ServiceEntry shop/${name}`,
    ...(range === undefined ? {} : { range: { family: 4, first: BigInt(range), last: BigInt(range + 255) } }),
  })
  const rows: [story: string, address: string, holders: object[]][] = [
    ['nobody', '240.240.0.1', []],
    ['a Service by its externalIPs', '240.240.0.7', [ordersHolder]],
    ['a Service by its load balancer', '192.0.2.9', [edgeHolder]],
    ['a Service by both is one', '192.0.2.8', [edgeHolder]],
    ['a ServiceEntry by an address that Istio assigned', '240.240.0.6', [entryHolder('assigned')]],
    ['a ServiceEntry by a range', '240.240.7.200', [entryHolder('range', 0xf0f00700)]],
    ['nobody beside that range', '240.240.8.0', []],
    ['a ServiceEntry by a range with bits after its prefix', '240.240.9.200', [entryHolder('careless', 0xf0f00900)]],
    ['a claim for something else', '240.240.0.8', [gatewayHolder]],
    ['all of them, claims first', '240.240.0.5', [cartHolder, ordersHolder, entryHolder('pay')]],
  ]
  for (const [story, address, holders] of rows) t.strictSame(store.holders(address), holders, story)
  t.strictSame(store.claim('240.240.0.5'), cartHolder)
  t.strictSame(store.claim('240.240.0.8'), gatewayHolder)
  t.equal(store.claim('240.240.0.7'), undefined, 'what a Service holds is no claim')
})

t.test('a ServiceEntry that lists an address and ranges around it holds it by both, however often', async (t) => {
  const store = storeOf(
    serviceEntry('pay', {
      addresses: ['240.240.7.7', '240.240.7.0/24', '240.240.8.0/24', '240.240.0.0/16', '10.0.0.0/8'],
    }),
  )
  t.strictSame(
    store.holders('240.240.7.7').map(({ range }) => range === undefined),
    [true, false],
  )
  t.strictSame(store.holders('no address'), [])
})

t.test('the addresses that are claimed for a Service', async (t) => {
  const store = storeOf(
    claimFor('240.240.0.5', 'orders'),
    claimFor('240.240.0.6', 'pay'),
    claimFor('240.240.0.7', 'orders'),
    claim('240.240.0.8', { group: 'example.com', resource: 'services', namespace: 'shop', name: 'orders' }),
  )
  t.strictSame(store.claimsOf(inShop('orders')), ['240.240.0.5', '240.240.0.7'])
  t.strictSame(store.claimsOf({ namespace: 'test', name: 'orders' }), [])
})

t.test('an object that is put again replaces what was known of it', async (t) => {
  const store = storeOf(
    object('v1', 'Namespace', { name: 'shop', labels: { a: 'b' } }),
    object('v1', 'Namespace', { name: 'shop' }),
    service('orders', { externalIPs: ['240.240.0.1'] }),
    service('orders', { externalIPs: ['240.240.0.2'] }),
    virtualService('orders', 'a'),
    virtualService('orders', 'b'),
    serviceEntry('pay', { hosts: ['a.example.com'], addresses: ['240.240.0.3', '10.0.0.0/24'] }),
    serviceEntry('pay', { hosts: ['b.example.com'], addresses: ['240.240.0.4', '10.0.1.0/24'] }),
    endpointSlice('slice', 'a'),
    endpointSlice('slice', 'b'),
    claimFor('240.240.0.5', 'a'),
    claimFor('240.240.0.5', 'b'),
  )
  t.equal(store.namespace('shop')?.labels.size, 0)
  t.strictSame(
    ['240.240.0.1', '240.240.0.2'].map((address) => store.holders(address).length),
    [0, 1],
  )
  t.strictSame(
    ['240.240.0.3', '240.240.0.4'].map((address) => store.holders(address).length),
    [0, 1],
  )
  t.strictSame(
    ['10.0.0.7', '10.0.1.7'].map((address) => store.holders(address).length),
    [0, 1],
  )
  t.strictSame(
    ['a', 'b'].map((host) => store.virtualServices(`${host}.shop.svc.cluster.local`).length),
    [0, 1],
  )
  t.strictSame(
    ['a', 'b'].map((host) => store.serviceEntries(`${host}.example.com`).length),
    [0, 1],
  )
  t.strictSame(
    ['a', 'b'].map((name) => store.endpointSlices(inShop(name)).length),
    [0, 1],
  )
  t.strictSame(
    ['a', 'b'].map((name) => store.claimsOf(inShop(name)).length),
    [0, 1],
  )
})

t.test('a Service or VirtualService that is deleted is gone', async (t) => {
  const store = storeOf(
    service('orders', { externalIPs: ['240.240.0.1'] }),
    service('pay'),
    virtualService('orders', 'orders'),
    virtualService('again', 'orders'),
  )
  store.delete('Service', inShop('orders'))
  store.delete('VirtualService', inShop('orders'))
  store.delete('Service', inShop('nothing'))
  t.equal(store.service(inShop('orders')), undefined)
  t.strictSame(store.holders('240.240.0.1'), [])
  t.strictSame(names(store.servicesUnder('*')), ['pay'])
  t.strictSame(names(store.virtualServices('orders.shop.svc.cluster.local')), ['again'])
})

t.test('an address is held exactly by those that say so', async () => {
  const lastByte = fc.integer({ min: 1, max: 5 })
  const addresses = fc.uniqueArray(lastByte, { maxLength: 3 })
  fc.assert(
    fc.property(fc.array(addresses, { maxLength: 4 }), lastByte, (services, byte) => {
      const ip = (last: number) => `240.240.0.${last}`
      const store = storeOf(...services.map((own, index) => service(`s${index}`, { externalIPs: own.map(ip) })))
      const expected = services.flatMap((own, index) => (own.includes(byte) ? [`Service shop/s${index}`] : []))
      return (
        store
          .holders(ip(byte))
          .map(({ text }) => text)
          .join() === expected.join()
      )
    }),
  )
})

t.test('whatever ServiceEntries come, change and go, ranges hold what a look at each says', async () => {
  const cidrs = ['240.240.0.0/24', '240.240.0.0/25', '240.240.0.128/25', '240.240.0.7/32', '0.0.0.0/0', 'fd00::/64']
  const change = fc.record({ name: fc.constantFrom('a', 'b', 'c'), addresses: fc.option(fc.subarray(cidrs)) })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
      const store = new ObjectStore({ clusterDomain: 'cluster.local', unlistedNamespacesSelected: true })
      const entries = new Map<string, ServiceEntry>()
      return changes.every(({ name, addresses }) => {
        if (addresses === null) {
          store.delete('ServiceEntry', { namespace: 'shop', name })
          entries.delete(name)
        } else {
          const entry = parseServiceEntry(serviceEntry(name, { addresses }))
          store.put({ kind: 'ServiceEntry', object: entry })
          entries.set(name, entry)
        }
        return ['240.240.0.7', '240.240.0.200', '10.0.0.1', 'fd00::7', 'fd01::'].every((text) => {
          const address = parseAddress(text) as Address
          const expected = [...entries.values()].filter(({ ranges }) => ranges.some((range) => covers(range, address)))
          const found = store.holders(text).map((holder) => holder.name.name)
          return `${found.sort()}` === `${expected.map((entry) => entry.name).sort()}`
        })
      })
    }),
  )
})

import t from 'tap'
import { aliasOf, isWithoutAddress, type MeshHost, Registry } from '../../src/istio/registry.ts'
import { entryFor, service, storeOf } from '../support/objects.ts'

const mesh = { clusterDomain: 'cluster.local', foreignHosts: [], rootNamespace: 'istio-system' }

const registryOf = (...objects: object[]) => registryFrom('shop', ...objects)

const registryFrom = (namespace: string, ...objects: object[]) =>
  new Registry({ namespace, labels: 'any' }, storeOf(...objects), mesh)

const entry = (name: string, hosts: string[], spec: object = {}, metadata: Record<string, unknown> = {}) =>
  entryFor(name, { hosts, ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }], ...spec }, metadata)

const orders = 'orders.shop.svc.cluster.local'
const pay = 'pay.example.com'

const show = (host: MeshHost | undefined) =>
  host === undefined
    ? undefined
    : `${host.host} of ${host.namespace}/${host.name}: ${host.ports.map((port) => `${port.class}${port.isHttp2 ? '2' : ''}:${port.number}`).join(' ')}`

t.test('a host is that of a Service or of a ServiceEntry, with its ports', async (t) => {
  const registry = registryOf(
    service('orders', {
      ports: [
        { name: 'http', port: 3111 },
        { name: 'grpc', port: 3112 },
      ],
    }),
    entry('pay', [pay], {
      ports: [
        { number: 443, protocol: 'TLS' },
        { number: 9000, protocol: 'GRPC' },
      ],
    }),
  )
  t.equal(show(registry.get(orders)), `${orders} of shop/orders: HTTP:3111 HTTP2:3112`)
  t.equal(show(registry.get(pay)), `${pay} of shop/pay: TLS:443 HTTP2:9000`)
  t.equal(registry.get('nobody.example.com'), undefined)
  t.equal(registry.get(orders), registry.get(orders), 'each is looked up once')
})

t.test('a Service comes before any ServiceEntry of its host, which only adds listeners', async (t) => {
  const registry = registryOf(
    service('orders'),
    entry('a', [orders], {}, { creationTimestamp: '2020-01-01T00:00:00Z' }),
  )
  t.equal(show(registry.get(orders)), `${orders} of shop/orders: HTTP:3111 HTTP:8080`)
  t.strictSame(registry.get(orders)?.clusterPorts, [3111])
  const ofPayments = entry('a', [orders], {}, { namespace: 'payments' })
  const from = (namespace: string) => show(registryFrom(namespace, service('orders'), ofPayments).get(orders))
  t.equal(from('stock'), `${orders} of shop/orders: HTTP:3111`)
  t.equal(from('payments'), `${orders} of payments/a: HTTP:8080`, 'but where the client’s own namespace has one')
})

t.test('which ServiceEntry has a host that several list', async (t) => {
  const port = (number: number, rest: object = {}) => ({ ports: [{ number, protocol: 'TCP' }], ...rest })
  const at = (year: number, rest: Record<string, unknown> = {}) => ({
    creationTimestamp: `${year}-01-01T00:00:00Z`,
    ...rest,
  })
  const portsOf = (...objects: object[]) =>
    registryOf(...objects)
      .get(pay)
      ?.ports.map(({ number }) => number)
      .sort()
  const elsewhere = { namespace: 'stock' }
  t.strictSame(
    portsOf(entry('b', [pay], port(2), at(2022, elsewhere)), entry('c', [pay], port(1), at(2021))),
    [1],
    'the oldest, and those of other namespaces add nothing',
  )
  t.strictSame(
    portsOf(entry('b', [pay], port(2), elsewhere), entry('a', [pay], port(1))),
    [1],
    'by name where none has been created yet',
  )
  t.strictSame(
    portsOf(entry('a', [pay], port(2), { namespace: 'stock' }), entry('a', [pay], port(1), { namespace: 'shop' })),
    [1],
    'of the same name that of the namespace that comes first',
  )
  t.strictSame(
    portsOf(entry('b', [pay], port(2), at(2021, elsewhere)), entry('c', [pay], port(1, { exportTo: ['.'] }), at(2022))),
    [1],
    'one that is exported to the namespace before one for all',
  )
  const several = [
    entry('a', [pay], port(1, { resolution: 'DNS' }), at(2021)),
    entry('b', [pay], port(2, { resolution: 'DNS' }), at(2022)),
    entry('c', [pay], port(3, { resolution: 'STATIC' }), at(2023)),
    entry('d', [pay], port(1, { resolution: 'DNS' }), at(2024)),
  ]
  t.strictSame(portsOf(...several), [1, 2, 3], 'others of its namespace add their listeners,')
  t.strictSame(
    [...(registryOf(...several).get(pay)?.clusterPorts ?? [])].sort(),
    [1, 2],
    'and clusters where they resolve the host in the same way',
  )
})

t.test('clusters are named by the very spelling, and http hosts compared in lower case', async (t) => {
  const registry = registryOf(service('orders'), entry('pay', ['Pay.example.com']))
  t.equal(registry.get(pay), undefined)
  t.equal(registry.get('Orders.shop.svc.cluster.local'), undefined)
  t.equal(registry.getIgnoringCase(pay)?.host, 'Pay.example.com')
  t.equal(registry.getIgnoringCase(orders)?.host, orders)
  t.equal(registry.getIgnoringCase('nobody.example.com'), undefined)
  const several = registryOf(entry('pay', ['a.example.com', 'Pay.Example.com']))
  t.equal(several.getIgnoringCase(pay)?.host, 'Pay.Example.com', 'of several hosts of an entry it is that one')
  t.strictSame(
    several.under('*.example.com').map(({ host }) => host),
    ['a.example.com', 'Pay.Example.com'],
    'and a wildcard is over it in any case',
  )
})

t.test('of ServiceEntries in two other namespaces a client has the oldest', async (t) => {
  const oldest = (a: Record<string, unknown>, b: Record<string, unknown>, spec: object = {}) => {
    const [first, second] = [
      entry('x', [pay], spec, { namespace: 'stock', ...a }),
      entry('x', [pay], {}, { namespace: 'count', ...b }),
    ]
    const found = [
      [first, second],
      [second, first],
    ].map((objects) => registryFrom('shop', ...objects).get(pay)?.namespace)
    t.equal(found[0], found[1], 'in whatever order they are listed')
    return found[0]
  }
  const at = (year: number) => ({ creationTimestamp: `${year}-01-01T00:00:00Z` })
  t.equal(oldest(at(2021), at(2022)), 'stock')
  t.equal(oldest(at(2021), {}), 'stock', 'one that is not stored yet comes last')
  t.equal(oldest({ ...at(2021), name: 'a' }, at(2021)), 'stock', 'of two of one age the first by name')
  t.equal(oldest(at(2021), at(2021)), 'count', 'else by namespace')
  t.equal(oldest(at(2022), at(2021)), 'count')
  t.equal(oldest(at(2022), at(2021), { exportTo: ['shop'] }), 'stock', 'but first one that is exported to it by name')
})

t.test('a wildcard has what lies under it, and is over it', async (t) => {
  const wild = '*.example.com'
  const registry = registryOf(
    service('orders'),
    service('count', {}, { namespace: 'stock' }),
    entry('pay', [pay, wild]),
    entry('more', [pay, '*.pay.example.com', 'example.com']),
    entry('local', [orders, 'db.shop.svc.cluster.local']),
  )
  const hosts = (found: MeshHost[]) => found.map(({ host }) => host).sort()
  t.strictSame(hosts(registry.under(wild)), ['*.example.com', '*.pay.example.com', pay])
  t.strictSame(hosts(registry.under('*.shop.svc.cluster.local')), ['db.shop.svc.cluster.local', orders])
  t.equal(registry.under('*.shop.svc.cluster.local').filter(({ service }) => service !== undefined).length, 1)
  t.strictSame(hosts(registry.over(pay)), [wild])
  t.strictSame(hosts(registry.over('*.pay.example.com')), [wild])
  t.strictSame(hosts(registry.over(wild)), [], 'but not over itself')
})

t.test('what is exported to others is hidden, and what is not there is not', async (t) => {
  const objects = [
    service('orders', {}, { annotations: { 'networking.istio.io/exportTo': 'payments' } }),
    entry('pay', [pay, '*.example.com'], { exportTo: ['payments'] }),
  ]
  const fromShop = registryFrom('shop', ...objects)
  for (const host of [orders, pay]) {
    t.equal(fromShop.get(host), undefined)
    t.equal(fromShop.hides(host), true, host)
  }
  t.strictSame(fromShop.over(pay), [])
  t.strictSame([...fromShop.under('*.example.com'), ...fromShop.under('*.shop.svc.cluster.local')], [])
  t.equal(fromShop.hides('nobody.shop.svc.cluster.local'), false)
  t.equal(fromShop.hides('nobody.example.com'), false)
  t.strictSame([...fromShop.namespaces].sort(), ['payments', 'shop'])
  t.equal(fromShop.getDestination(orders)?.host, orders, 'but as a destination a client knows what its namespace has')
  t.equal(registryFrom('stock', ...objects).getDestination(orders), undefined)
  const fromPayments = registryFrom('payments', ...objects)
  t.equal(fromPayments.get(orders)?.host, orders)
  t.equal(fromPayments.hides(orders), false)
})

t.test('that namespaces are given different hosts is known once one of these is asked about', async (t) => {
  const registry = registryOf(service('orders'), entry('pay', [pay], { exportTo: ['.'] }))
  registry.get(orders)
  t.strictSame([...registry.namespaces], [])
  registry.get(pay)
  t.strictSame([...registry.namespaces], ['shop'])
})

t.test('Pods behind a headless or ExternalName Service are reached without its address', async (t) => {
  const registry = registryOf(
    service('orders'),
    service('headless', { clusterIP: 'None' }),
    service('alias', { type: 'ExternalName', externalName: pay }),
    entry('pay', [pay]),
  )
  const told = (name: string) => {
    const host = registry.get(name.includes('.') ? name : `${name}.shop.svc.cluster.local`) as MeshHost
    return [isWithoutAddress(host), aliasOf(host)]
  }
  t.strictSame(told('orders'), [false, undefined])
  t.strictSame(told('headless'), [true, undefined])
  t.strictSame(told('alias'), [true, pay])
  t.strictSame(told(pay), [false, undefined])
})

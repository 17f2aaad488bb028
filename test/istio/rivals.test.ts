import t from 'tap'
import { parseVirtualService } from '../../src/api/virtual-service.ts'
import type { Client } from '../../src/istio/client.ts'
import { emit } from '../../src/istio/emission.ts'
import { entryFor, service, storeOf, virtualService } from '../support/objects.ts'

const mesh = { clusterDomain: 'cluster.local', foreignHosts: [], rootNamespace: 'istio-system' }
const orders = 'orders.shop.svc.cluster.local'
const other = 'other.shop.svc.cluster.local'
const route = [{ destination: { host: 'read.shop.svc.cluster.local', port: { number: 3100 } } }]

/** A Service with ports of every class. */
const ports = [
  { name: 'http', port: 3111 },
  { name: 'grpc', port: 3112 },
  { name: 'tcp', port: 3306 },
  { name: 'tls', port: 443 },
]
const services = [service('orders', { ports }), service('other', { ports: [{ name: 'http', port: 3111 }] })]

const created = (year: number, namespace = 'shop') => ({ namespace, creationTimestamp: `${year}-01-01T00:00:00Z` })
const anyPodIn = (namespace: string): Client => ({ namespace, labels: 'any' })

type Sketch = { spec?: object | undefined; metadata?: Record<string, unknown>; client?: Client }

const emission = ({ spec, metadata, client }: Sketch, ...others: object[]) =>
  emit(
    parseVirtualService(
      virtualService('own', { hosts: [orders], http: [{ route }], ...spec }, metadata ?? created(2022)),
    ),
    client ?? anyPodIn('shop'),
    storeOf(...services, ...others),
    mesh,
  )

/** What is taken from a VirtualService that was created in 2022. */
const takenFrom = (own: Sketch, ...others: object[]): string[] =>
  emission(own, ...others).taken.map(
    ({ host, protocol, ports, by }) => `${protocol} ${ports} of ${host.split('.')[0]} by ${by.namespace}/${by.name}`,
  )

const rival = (name: string, spec: object = {}, metadata: Record<string, unknown> = created(2021)) =>
  virtualService(name, { hosts: [orders], http: [{ route }], ...spec }, metadata)

t.test('of several VirtualServices for a host the oldest is served', async (t) => {
  const all = ['http 3111,3112 of orders by shop/a']
  t.strictSame(takenFrom({}), [], 'itself is no other')
  t.strictSame(takenFrom({}, rival('own')), [], 'nor is what it is an update of')
  t.strictSame(takenFrom({}, rival('a')), all)
  t.strictSame(takenFrom({}, rival('a', {}, created(2023))), [])
  t.strictSame(takenFrom({}, rival('a', {}, created(2022))), all, 'of two of the same second the first by name')
  t.strictSame(takenFrom({}, rival('z', {}, created(2022))), [])
  t.strictSame(takenFrom({}, rival('own', {}, created(2022, 'a'))), ['http 3111,3112 of orders by a/own'])
  t.strictSame(takenFrom({}, rival('own', {}, created(2022, 'z'))), [])
  t.strictSame(takenFrom({ metadata: {} }, rival('z', {}, created(2023))), ['http 3111,3112 of orders by shop/z'])
  t.strictSame(takenFrom({ metadata: {} }, rival('a', {}, {})), all, 'nor is there an order but the names yet')
})

t.test('what is exported to a namespace comes before what is exported to all, whatever its age', async (t) => {
  const [toOwn, toPayments, toNobody] = [['.'], ['payments'], ['~']].map((exportTo) => ({ exportTo }))
  const late = (spec: object | undefined, namespace = 'shop') => rival('z', spec, created(2023, namespace))
  t.strictSame(takenFrom({}, late(toOwn)), ['http 3111,3112 of orders by shop/z'])
  t.strictSame(takenFrom({}, late(toOwn, 'payments')), [], 'but not what other namespaces keep to themselves')
  t.strictSame(takenFrom({}, late(toNobody)), [])
  const client = anyPodIn('payments')
  t.strictSame(takenFrom({ client }, late(toPayments)), ['http 3111,3112 of orders by shop/z'])
  t.strictSame(takenFrom({ client }, late(toOwn)), [])
  t.strictSame(takenFrom({ client, spec: toPayments }, late(toOwn, 'payments')), [
    'http 3111,3112 of orders by payments/z',
  ])
  t.strictSame(takenFrom({ client, spec: toPayments }, rival('a')), [])
})

t.test('that clients of other namespaces may be given another is known', async (t) => {
  const namespaces = (...rest: Parameters<typeof emission>) => [...emission(...rest).namespaces].sort()
  t.strictSame(namespaces({}, rival('a')), [])
  t.strictSame(namespaces({}, rival('z', { exportTo: ['payments'] })), ['payments', 'shop'])
  const forPayments = { match: [{ sourceNamespace: 'payments' }], route }
  t.strictSame(namespaces({}, rival('a', { http: [forPayments] })), ['payments'])
})

t.test('only where both have routes for a port one waits', async (t) => {
  const onPort = (port: number, rest: object = {}) => [{ match: [{ port, ...rest }], route }]
  t.strictSame(takenFrom({}, rival('a', { http: onPort(3112) })), ['http 3112 of orders by shop/a'])
  t.strictSame(takenFrom({}, rival('a', { http: onPort(9) })), [])
  t.strictSame(takenFrom({}, rival('a', { http: undefined, tcp: [{ route }] })), [])
  t.strictSame(takenFrom({}, rival('a', { gateways: ['public'] })), [])
  t.strictSame(takenFrom({}, rival('a', { http: onPort(3111, { gateways: ['public'] }) })), [])
  t.strictSame(takenFrom({}, rival('a', { http: onPort(3111, { sourceNamespace: 'payments' }) })), [])
  t.strictSame(
    takenFrom({}, rival('a', { http: onPort(3111, { sourceLabels: { app: 'front' } }) })),
    [],
    'for Pods of which nobody here asks',
  )
  const front = { namespace: 'shop', labels: new Map([['app', 'front']]) }
  t.strictSame(takenFrom({ client: front }, rival('a', { http: onPort(3111, { sourceLabels: { app: 'front' } }) })), [
    'http 3111 of orders by shop/a',
  ])
  t.strictSame(
    takenFrom({ spec: { hosts: [orders, other] } }, rival('a', { hosts: [other] })),
    ['http 3111 of other by shop/a'],
    'of one host among others',
  )
})

t.test('the routes of a delegate are its root’s', async (t) => {
  const root = rival('a', { http: [{ match: [{ port: 3112 }], delegate: { name: 'routes' } }] })
  const delegate = virtualService('routes', { http: [{ route }] })
  t.strictSame(takenFrom({}, root, delegate), ['http 3112 of orders by shop/a'])
  t.strictSame(takenFrom({}, root), [], 'without it there are none')
})

t.test('of http hosts one in full comes before any wildcard, and of wildcards the longest', async (t) => {
  const [short, long] = ['*.local', '*.shop.svc.cluster.local']
  const wild = (wildcard: string, metadata = created(2021), rest: object = {}) =>
    rival('a', { hosts: [wildcard], ...rest }, metadata)
  const all = ['http 3111,3112 of orders by shop/a']
  t.strictSame(takenFrom({}, wild(long)), [], 'however old the wildcard is')
  t.strictSame(takenFrom({ spec: { hosts: ['Orders.shop.svc.cluster.local'] } }, wild(long)), [], 'in any case')
  t.strictSame(takenFrom({ spec: { hosts: [other, orders] } }, wild(long)), [], 'be it among others')
  const [underLong, underShort] = [{ spec: { hosts: [long] } }, { spec: { hosts: [short] } }]
  const inFull = rival('a', { http: [{ match: [{ port: 3112 }], route }] }, created(2023))
  t.strictSame(takenFrom(underLong, inFull), all, 'even on ports that the one in full does not serve')
  t.strictSame(takenFrom(underLong, wild(short)).length, 0)
  t.strictSame(takenFrom(underShort, wild(long, created(2023)))[0], all[0])
  t.strictSame(takenFrom(underLong, wild(long))[0], all[0], 'of two that are equal the oldest')
  t.strictSame(takenFrom(underLong, wild(long, created(2023))), [])
})

t.test('http hosts are compared in lower case, those of ServiceEntries, too', async (t) => {
  const pay = 'pay.example.com'
  const entry = entryFor('pay', { hosts: ['Pay.example.com'], ports: [{ number: 8080, protocol: 'HTTP' }] })
  const own = { spec: { hosts: [pay] } }
  t.strictSame(takenFrom(own, entry, rival('a', { hosts: [pay] })), ['http 8080 of Pay by shop/a'])
  t.strictSame(takenFrom(own, entry, rival('a', { hosts: [pay], http: [{ match: [{ port: 9 }], route }] })), [])
})

t.test('a port of tcp is taken by a route that leaves nothing', async (t) => {
  const tcp = { http: undefined, tcp: [{ route }] }
  const take = (match: object[] | undefined, metadata = created(2021)) =>
    takenFrom({ spec: tcp }, rival('a', { http: undefined, tcp: [{ route, ...(match ? { match } : {}) }] }, metadata))
  const all = ['tcp 3306 of orders by shop/a']
  t.strictSame(take(undefined), all)
  t.strictSame(take([{ port: 3306 }]), all)
  t.strictSame(take([{ port: 9 }]), [])
  t.strictSame(take([{ destinationSubnets: ['10.0.0.0/8'] }]), [])
  t.strictSame(take(undefined, created(2023)), [])
  t.strictSame(takenFrom({ spec: tcp }, rival('a')), [], 'nor by http')
  t.strictSame(
    emission({ spec: tcp }, rival('a', tcp)).routes.map(({ dropped }) => dropped),
    ['taken'],
    'whatever ports of other protocols there are',
  )
  t.strictSame(
    takenFrom({ spec: tcp }, rival('a', { ...tcp, hosts: ['*.shop.svc.cluster.local'] })),
    all,
    'wildcards come in the order of all others',
  )
  t.strictSame(
    takenFrom(
      { spec: { ...tcp, hosts: ['*.shop.svc.cluster.local'] } },
      rival('a', { ...tcp, hosts: ['Orders.shop.svc.cluster.local'] }),
    ),
    [],
    'and letters count',
  )
})

t.test('of tls matches with the same conditions the first is served', async (t) => {
  const tls = (...names: string[]) => ({
    http: undefined,
    tls: names.map((name) => ({ match: [{ sniHosts: [name] }], route })),
  })
  const dropped = (...others: object[]) =>
    emission({ spec: { hosts: [orders, 'a.com', 'b.com'], ...tls('a.com', 'b.com') } }, ...others).routes.map(
      (one) => one.dropped ?? one.ports.join(),
    )
  t.strictSame(dropped(), ['443', '443'])
  t.strictSame(
    emission({ spec: { hosts: [orders, 'a.com'], ...tls('a.com', 'a.com') } }).routes.map((one) => one.dropped),
    [undefined, 'shadowed'],
    'in one VirtualService, too',
  )
  t.strictSame(dropped(rival('a', tls('a.com'))), ['taken', '443'])
  t.strictSame(dropped(rival('a', tls('a.com'), created(2023))), ['443', '443'])
  const onPort = (match: object) =>
    rival('a', { http: undefined, tls: [{ match: [{ sniHosts: ['a.com'], ...match }], route }] })
  t.strictSame(dropped(onPort({ port: 443 })), ['taken', '443'])
  t.strictSame(dropped(onPort({ port: 9 })), ['443', '443'])
  t.strictSame(dropped(onPort({ gateways: ['public'] })), ['443', '443'])
  t.strictSame(
    dropped(onPort({ gateways: ['mesh'], sourceNamespace: 'payments' })),
    ['443', '443'],
    'for callers of another namespace',
  )
  t.strictSame(dropped(rival('a', { ...tls('a.com'), hosts: ['Orders.shop.svc.cluster.local'] })), ['443', '443'])
  t.strictSame(dropped(rival('a')), ['443', '443'])
  t.strictSame(dropped(rival('a', { http: undefined, tcp: [{ route }] })), ['443', '443'], 'tcp is for other ports')
  t.strictSame(takenFrom({ spec: tls('a.com') }, rival('a', tls('a.com'))), ['tls 443 of orders by shop/a'])
})

t.test('a ServiceEntry with a wildcard is taken by the wildcard', async (t) => {
  const wild = '*.example.com'
  const entry = entryFor('wild', { hosts: [wild], ports: [{ number: 8080, protocol: 'TCP' }] })
  const tcp = { http: undefined, tcp: [{ route }] }
  t.strictSame(takenFrom({ spec: { ...tcp, hosts: [wild] } }, entry, rival('a', { ...tcp, hosts: [wild] })), [
    'tcp 8080 of * by shop/a',
  ])
})

t.test('of several wildcards over a host the longest counts, wherever it stands', async (t) => {
  const [far, near] = ['*.cluster.local', '*.shop.svc.cluster.local']
  for (const hosts of [
    [far, near],
    [near, far],
  ]) {
    t.strictSame(takenFrom({ spec: { hosts: ['*.svc.cluster.local'] } }, rival('z', { hosts }, created(2023))), [
      'http 3111,3112 of orders by shop/z',
      'http 3111 of other by shop/z',
    ])
  }
})

t.test('a tls match that is written twice is served once, and one without match never', async (t) => {
  const match = [{ sniHosts: ['a.com'] }]
  const { routes, taken } = emission({
    spec: { hosts: [orders, 'a.com'], http: undefined, tls: [{ match, route }, { match, route }, { route }] },
  })
  t.strictSame(
    routes.map((one) => one.dropped ?? one.ports.join()),
    ['443', 'shadowed'],
  )
  t.strictSame(taken, [])
})

t.test('who takes a host does not depend on the order in which objects came', async (t) => {
  const rivals = [rival('a', {}, created(2020)), rival('b', {}, created(2021))]
  const wide = rival('z', { hosts: ['*.cluster.local'] }, created(2019))
  const near = rival('y', { hosts: ['*.shop.svc.cluster.local'] }, created(2021))
  const spec = { hosts: ['*.svc.cluster.local'] }
  t.strictSame(takenFrom({}, ...rivals), ['http 3111,3112 of orders by shop/a'])
  t.strictSame(takenFrom({}, ...rivals.toReversed()), ['http 3111,3112 of orders by shop/a'])
  for (const others of [
    [wide, near],
    [near, wide],
  ]) {
    t.match(takenFrom({ spec }, ...others), ['http 3111,3112 of orders by shop/y'])
  }
})

import t from 'tap'
import type { KubernetesClient } from '../../src/kubernetes/client.ts'
import { ReadThroughView, untilRead } from '../../src/view/read-through.ts'
import type { ClusterView } from '../../src/view/view.ts'
import { brokenDown, startFakeApiServer } from '../support/fake-api-server.ts'
import {
  claim,
  destinationRule,
  endpointSlice,
  meshNamespace,
  service,
  serviceEntry,
  virtualService,
} from '../support/objects.ts'

const server = await startFakeApiServer(t)
const ask = <T>(
  question: (view: ClusterView) => T,
  { client = server.client, signal = AbortSignal.timeout(10_000) } = {},
): Promise<T> => {
  const view = new ReadThroughView({ client, clusterDomain: 'cluster.local' }, signal)
  return untilRead(view, () => question(view))
}
const orders = { namespace: 'shop', name: 'orders' }

t.beforeEach(() => {
  server.clear()
  server.put(
    meshNamespace('shop'),
    service('orders', { externalIPs: ['240.240.0.7'] }),
    service('carts'),
    endpointSlice('orders-1', 'orders'),
    endpointSlice('carts-1', 'carts'),
    virtualService('orders', {
      hosts: ['orders'],
      http: [{ route: [{ destination: { host: 'carts' } }] }, { delegate: { name: 'routes' } }],
    }),
    destinationRule('all', '*.svc.cluster.local'),
    serviceEntry('pay', ['240.240.0.0/29']),
    claim('240.240.0.7', 'shop/orders'),
    claim('240.240.0.8', 'shop/carts'),
    claim('10.0.0.1', 'shop/orders', { 'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io' }),
  )
})

const names = (objects: readonly { name: string }[]) => objects.map(({ name }) => name)

t.test('each question is answered out of what it reads', async (t) => {
  const cases: [what: string, question: (view: ClusterView) => unknown, expected: unknown, reads: string[]][] = [
    [
      'a namespace',
      (view) => view.namespace('shop')?.labels.get('istio-injection'),
      'enabled',
      ['/api/v1/namespaces/shop'],
    ],
    ['a namespace that is not there', (view) => view.namespace('none'), undefined, ['/api/v1/namespaces/none']],
    [
      'a Service',
      (view) => view.service(orders)?.externalIPs,
      ['240.240.0.7'],
      ['/api/v1/namespaces/shop/services/orders'],
    ],
    [
      'the Services under a wildcard',
      (view) => names(view.servicesUnder('*.shop.svc.cluster.local')),
      ['orders', 'carts'],
      ['/api/v1/services'],
    ],
    [
      'the ServiceEntries of a host',
      (view) => names(view.serviceEntries('pay.example.com')),
      ['pay'],
      ['/apis/networking.istio.io/v1/serviceentries'],
    ],
    [
      'the VirtualServices of a host',
      (view) => names(view.virtualServices('orders.shop.svc.cluster.local')),
      ['orders'],
      ['/apis/networking.istio.io/v1/virtualservices'],
    ],
    [
      'a VirtualService',
      (view) => view.virtualService(orders)?.hosts,
      ['orders'],
      ['/apis/networking.istio.io/v1/namespaces/shop/virtualservices/orders'],
    ],
    [
      'the VirtualServices with a delegate',
      (view) => names(view.virtualServicesWithDelegate({ namespace: 'shop', name: 'routes' })),
      ['orders'],
      ['/apis/networking.istio.io/v1/virtualservices'],
    ],
    [
      'the VirtualServices to a destination',
      (view) => names(view.virtualServicesTo('carts.shop.svc.cluster.local')),
      ['orders'],
      ['/apis/networking.istio.io/v1/virtualservices'],
    ],
    [
      'the DestinationRules for a host',
      (view) => names(view.destinationRules('carts.shop.svc.cluster.local')),
      ['all'],
      ['/apis/networking.istio.io/v1/destinationrules'],
    ],
    [
      'the Services of a namespace that may be virtual hosts',
      (view) => names([...view.virtualHostCandidates('shop', 3111)]),
      ['orders', 'carts'],
      ['/api/v1/namespaces/shop/services'],
    ],
    [
      'the EndpointSlices of a Service',
      (view) => names(view.endpointSlices(orders)),
      ['orders-1'],
      ['/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices'],
    ],
    [
      'the claim on an address, whoever made it',
      (view) => view.claim('10.0.0.1')?.text,
      'Service shop/orders',
      ['/apis/networking.k8s.io/v1/ipaddresses/10.0.0.1'],
    ],
    [
      'our claims for a Service',
      (view) => view.claimsOf(orders),
      ['240.240.0.7'],
      ['/apis/networking.k8s.io/v1/ipaddresses'],
    ],
    [
      'the holders of an address, claims first',
      (view) => view.holders('240.240.0.7').map(({ kind }) => kind),
      ['IPAddress', 'Service', 'ServiceEntry'],
      [
        '/api/v1/services',
        '/apis/networking.istio.io/v1/serviceentries',
        '/apis/networking.k8s.io/v1/ipaddresses/240.240.0.7',
      ],
    ],
    ['whether an unlisted namespace is of the mesh', (view) => view.unlistedNamespacesSelected, false, []],
  ]
  for (const [what, question, expected, reads] of cases) {
    server.requests.length = 0
    t.strictSame(await ask(question), expected, what)
    t.strictSame(
      server.log.sort(),
      reads.map((path) => `GET ${path}`),
      `${what}: what is read`,
    )
  }
})

t.test('what is selected by label is selected by the API server', async (t) => {
  await ask((view) => [view.endpointSlices(orders), view.claimsOf(orders)])
  t.strictSame(server.requests.map(({ query }) => query.get('labelSelector')).sort(), [
    'ipaddress.kubernetes.io/managed-by=meshvip.dev',
    'kubernetes.io/service-name=orders',
  ])
})

t.test('all that a question wants is read together, and once however often it is asked', async (t) => {
  const all = Promise.withResolvers<undefined>()
  let arrived = 0
  // None is answered before all have come: if they came one after the other, this would never end.
  server.intercept = () => {
    if (++arrived === 3) all.resolve(undefined)
    return all.promise
  }
  const answer = await ask((view) => [
    names(view.endpointSlices(orders)),
    view.namespace('shop')?.name,
    view.service(orders)?.name,
    view.service(orders)?.name,
    view.namespace('shop')?.name,
  ])
  t.strictSame(answer, [['orders-1'], 'shop', 'orders', 'orders', 'shop'])
  t.equal(server.requests.length, 3)
})

t.test('what is wanted because of an answer is read in another round', async (t) => {
  const external = await ask((view) => {
    if (view.namespace('shop') === undefined) return 'unread'
    const [first] = view.endpointSlices(orders)
    return first === undefined ? 'unread' : view.service({ ...first, name: first.service })?.externalIPs
  })
  t.strictSame(external, ['240.240.0.7'])
})

t.test('nothing is remembered from question to question', async (t) => {
  t.equal(await ask((view) => view.service(orders)?.externalIPs.length), 1)
  server.put(service('orders'))
  t.equal(await ask((view) => view.service(orders)?.externalIPs.length), 0)
})

t.test('once all of a kind are read, none of them is read by itself', async (t) => {
  const absent = { ...orders, name: 'none' }
  const answer = await ask((view) => {
    if (view.servicesUnder('*.shop.svc.cluster.local').length === 0) return 'unread'
    if (view.claimsOf(orders).length === 0) return 'unread'
    return [view.service(orders)?.name, view.service(absent)?.name, view.claim('10.0.0.1')?.text]
  })
  t.strictSame(answer, ['orders', undefined, undefined], "others' claims are found out by conflict")
  t.strictSame(server.log, ['GET /api/v1/services', 'GET /apis/networking.k8s.io/v1/ipaddresses'])
})

t.test('what cannot be a name is not looked for', async (t) => {
  const strange = { namespace: 'shop', name: '../secrets' }
  const answer = await ask((view) => [
    view.service(strange),
    view.namespace(''),
    view.claim('A'),
    view.endpointSlices({ ...orders, name: 'a=b,c' }),
  ])
  t.strictSame(answer, [undefined, undefined, undefined, []])
  t.strictSame(server.log, [])
})

t.test('kinds that are not installed have no objects', async (t) => {
  for (const resource of ['serviceentries', 'virtualservices']) server.uninstalled.add(resource)
  const answer = await ask((view) => [view.serviceEntries('pay.example.com'), view.virtualServices('orders')])
  t.strictSame(answer, [[], []])
})

t.test('an object that is not as its API defines it is left out, and no more', async (t) => {
  server.put(service('bad', { externalIPs: 'all' }), service('worse', { ports: [7] }))
  t.strictSame(await ask((view) => names(view.servicesUnder('*.shop.svc.cluster.local'))), ['orders', 'carts'])
  t.equal(await ask((view) => view.service({ ...orders, name: 'bad' })), undefined)
})

t.test('what fails is no answer', async (t) => {
  t.test('a part of the cluster', async (t) => {
    server.intercept = ({ path }) => (path.endsWith('/serviceentries') ? brokenDown : undefined)
    await t.rejects(
      ask((view) => view.holders('240.240.0.7')),
      { name: 'ApiError', status: 500 },
    )
  })
  t.test('the time', async (t) => {
    const over = ask((view) => view.service(orders), { signal: AbortSignal.abort() })
    await t.rejects(over, { name: 'ApiError', status: 0 })
  })
  t.test('a defect while an object is read', async (t) => {
    const trap = {
      get metadata(): object {
        throw new Error('a defect')
      },
    }
    const client = { get: async () => trap } as unknown as KubernetesClient
    const asked = ask((view) => view.service(orders), { client })
    await t.rejects(asked, { message: 'a defect' })
  })
  t.test('a question that never has enough', async (t) => {
    let more = 0
    await t.rejects(
      ask((view) => view.namespace(`n${++more}`)),
      { message: 'the question still wanted more of the cluster after 10 rounds' },
    )
    t.equal(server.requests.length, 10)
  })
})

t.test('where much of a kind is wanted, it is listed', async (t) => {
  const wanted = (namespaces: number, ofEach: number) =>
    Array.from({ length: namespaces * ofEach }, (_, index) => ({
      namespace: `shop-${index % namespaces}`,
      name: `service-${index}`,
    }))
  const cases: [what: string, namespaces: number, ofEach: number, requests: number, first: string][] = [
    ['each by itself where it is little', 6, 10, 61, '/api/v1/namespaces/shop/services/orders'],
    ['of its namespace where it is much of one', 1, 30, 2, '/api/v1/namespaces/shop/services/orders'],
    ['of all namespaces where it is much of many', 15, 10, 1, '/api/v1/services'],
  ]
  for (const [what, namespaces, ofEach, requests, first] of cases) {
    server.requests.length = 0
    const many = wanted(namespaces, ofEach)
    const found = await ask((view) => [view.service(orders)?.name, ...many.map((name) => view.service(name)?.name)])
    t.strictSame(found, ['orders', ...many.map(() => undefined)], what)
    t.equal(server.requests.length, requests, what)
    t.equal(server.requests[0]?.path, first, what)
  }
  server.requests.length = 0
  const slices = await ask((view) => [orders, ...wanted(1, 30)].map((name) => view.endpointSlices(name).length))
  t.equal(slices[0], 1)
  t.strictSame(
    server.log,
    ['', '-0'].map((suffix) => `GET /apis/discovery.k8s.io/v1/namespaces/shop${suffix}/endpointslices`),
    'slices of many Services of a namespace are listed together, too',
  )
})

t.test('the Endpoints of a Service', async (t) => {
  server.put({ apiVersion: 'v1', kind: 'Endpoints', metadata: { namespace: 'shop', name: 'orders' } })
  t.equal(await ask((view) => view.endpoints(orders)?.madeByHand), true)
})

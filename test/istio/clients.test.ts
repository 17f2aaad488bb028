import t from 'tap'
import { parseVirtualService } from '../../src/api/virtual-service.ts'
import { emissionsFor } from '../../src/istio/clients.ts'
import { destinationRule, entryFor, service, storeOf, virtualService } from '../support/objects.ts'

const mesh = { clusterDomain: 'cluster.local', foreignHosts: [], rootNamespace: 'istio-system' }
const orders = 'orders.shop.svc.cluster.local'
const read = 'read.shop.svc.cluster.local'
const route = [{ destination: { host: read, port: { number: 3100 } } }]
const keeping = (namespace: string, ...exportTo: string[]) => ({
  namespace,
  annotations: { 'networking.istio.io/exportTo': exportTo.join() },
})

/** The namespaces for whose sidecars an emission is made. */
const clientsOf = (spec: object, ...objects: object[]): string[] =>
  emissionsFor(
    parseVirtualService(virtualService('orders', { hosts: [orders], http: [{ route }], ...spec })),
    storeOf(service('orders'), service('read', { ports: [{ name: 'http', port: 3100 }] }), ...objects),
    mesh,
  ).map(({ client }) => client.namespace)

t.test('where all clients are given the same there is one emission', async (t) => {
  t.strictSame(clientsOf({}), ['shop'])
  t.strictSame(clientsOf({ exportTo: ['.'] }), ['shop'])
  t.strictSame(clientsOf({ exportTo: ['payments', 'stock'] }), ['payments'], 'for the first that sees it')
  t.strictSame(clientsOf({ exportTo: ['~'] }), ['shop'], 'or for its own, where nobody does')
})

t.test('where they may not be, there is one for each namespace that is named, and one for any other', async (t) => {
  const hidden = service('orders', {}, keeping('shop', '.'))
  t.strictSame(clientsOf({}, hidden), ['shop', ''])
  t.strictSame(clientsOf({ exportTo: ['*', '.'] }, hidden), ['shop', ''])
  t.strictSame(clientsOf({ exportTo: ['.', 'payments'] }, hidden), ['shop', 'payments'])
  t.strictSame(clientsOf({ exportTo: ['.'] }, hidden), ['shop'], 'but none for those that do not see it')
})

t.test('the namespaces that matches name are among them', async (t) => {
  const http = ['payments', 'stock', 'payments'].map((sourceNamespace) => ({ match: [{ sourceNamespace }, {}], route }))
  t.strictSame(clientsOf({ http }), ['shop', '', 'payments', 'stock'])
})

t.test('and those of its hosts, be these hidden', async (t) => {
  const theirs = 'count.stock.svc.cluster.local'
  const count = service('count', {}, keeping('stock', '.'))
  t.strictSame(clientsOf({ hosts: [theirs] }, count), ['shop', '', 'stock'])
  const exported = service('count', {}, keeping('stock', 'shop', 'stock'))
  t.strictSame(clientsOf({ hosts: [theirs] }, exported), ['shop', '', 'stock'])
  const pay = entryFor('pay', { hosts: ['pay.example.com'], exportTo: ['.'] }, { namespace: 'stock' })
  t.strictSame(clientsOf({ hosts: ['pay.example.com'] }, pay), ['shop', '', 'stock'])
})

t.test('other subsets for others make a difference', async (t) => {
  const http = [{ route: route.map(({ destination }) => ({ destination: { ...destination, subset: 'v1' } })) }]
  const rule = destinationRule('read', read, { subsets: [{ name: 'v1' }], exportTo: ['.'] })
  const emissions = emissionsFor(
    parseVirtualService(virtualService('orders', { hosts: [orders], http })),
    storeOf(service('orders'), service('read', { ports: [{ name: 'http', port: 3100 }] }), rule),
    mesh,
  )
  t.strictSame(
    emissions.map(({ client, destinations }) => [client.namespace, ...destinations.map(({ kind }) => kind)]),
    [
      ['shop', 'exists'],
      ['', 'subset'],
    ],
  )
})

t.test('ten other namespaces are looked at and no more', async (t) => {
  const http = Array.from({ length: 30 }, (_, index) => ({ match: [{ sourceNamespace: `team-${index}` }], route }))
  t.equal(clientsOf({ http }).length, 11)
})

import fc from 'fast-check'
import t from 'tap'
import { parseVirtualService } from '../../src/api/virtual-service.ts'
import { isOnMesh } from '../../src/istio/client.ts'
import type { DestinationEmission } from '../../src/istio/destinations.ts'
import { emit, type HostEmission } from '../../src/istio/emission.ts'
import { parseManifests } from '../../src/view/manifests.ts'
import { ObjectStore } from '../../src/view/object-store.ts'

const mesh = {
  clusterDomain: 'cluster.local',
  foreignHosts: ['*.east.svc.cluster.local', 'legacy.example.com', 'old.example.net'],
  rootNamespace: 'istio-system',
}

const objects = `
{ apiVersion: v1, kind: Namespace, metadata: { name: stock } }
---
apiVersion: v1
kind: Service
metadata: { namespace: shop, name: orders }
spec: { ports: [{ name: http, port: 3111 }] }
---
apiVersion: v1
kind: Service
metadata: { namespace: shop, name: every-class }
spec:
  ports:
    - { name: http, port: 8080 }
    - { name: tcp-x, port: 9000 }
    - { name: https-x, port: 8443 }
    - { name: http-x, port: 5353, protocol: UDP }
    - { name: web, port: 7000 }
---
apiVersion: v1
kind: Service
metadata: { namespace: shop, name: names }
spec: { ports: [{ name: udp-dns, port: 5300, protocol: UDP }, { name: http-dns, port: 5300 }] }
---
apiVersion: v1
kind: Service
metadata: { namespace: shop, name: read }
spec: { selector: { app: read }, ports: [{ name: http, port: 3100 }] }
---
apiVersion: v1
kind: Service
metadata: { namespace: stock, name: count }
spec: { selector: { app: count }, ports: [{ name: http, port: 3111 }, { name: grpc, port: 9095 }] }
---
apiVersion: v1
kind: Service
metadata: { namespace: shop, name: alias }
spec: { type: ExternalName, externalName: count.stock.svc.cluster.local, ports: [{ name: http, port: 3111 }] }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { namespace: shop, name: pay }
spec: { hosts: [pay.example.com], ports: [{ number: 443, name: tls, protocol: TLS }, { number: 8080, name: a, protocol: HTTP }] }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { namespace: shop, name: wild }
spec: { hosts: ['*.wild.example.com'], ports: [{ number: 8080, name: http, protocol: HTTP }] }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { namespace: shop, name: dotted }
spec: { hosts: [good.stock], ports: [{ number: 6000, name: http, protocol: HTTP }] }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { namespace: shop, name: local }
spec: { hosts: [db.shop.svc.cluster.local], ports: [{ number: 5000, name: http, protocol: HTTP }] }
`

const view = new ObjectStore({ clusterDomain: mesh.clusterDomain, unlistedNamespacesSelected: true })
for (const object of parseManifests(objects, 'objects.yaml')) view.put(object)

const client = { namespace: 'shop', labels: 'any' } as const

const emission = (spec: object) =>
  emit(parseVirtualService({ metadata: { namespace: 'shop', name: 'orders' }, spec }), client, view, mesh)

const to = (host: string, port?: number, weight?: number) => ({
  destination: { host, ...(port === undefined ? {} : { port: { number: port } }) },
  ...(weight === undefined ? {} : { weight }),
})

const orders = 'orders.shop.svc.cluster.local'
const everyClass = 'every-class.shop.svc.cluster.local'
const read = 'read.shop.svc.cluster.local'
const count = 'count.stock.svc.cluster.local'
const anyRoute = [{ route: [to(read, 3100)] }]

const serviceOf = (name: { namespace: string; name: string } | undefined) =>
  name === undefined ? 'none' : `${name.namespace}/${name.name}`

const describeHost = (host: HostEmission): string => {
  switch (host.kind) {
    case 'resolved':
      return host.targets
        .map((target) => `${target.host} ${target.ports.map((port) => `${port.class}:${port.number}`).join(' ')}`)
        .join(', ')
    case 'form':
      return `form, means ${serviceOf(host.means)}`
    case 'missing':
      return `missing, ${serviceOf(host.service)}`
    case 'foreign':
    case 'hidden':
    case 'unknown':
      return host.kind
  }
}

const describeDestination = (emitted: DestinationEmission): string => {
  switch (emitted.kind) {
    case 'exists':
    case 'missing':
    case 'hidden':
    case 'unknown':
      return `${emitted.host} ${emitted.kind}`
    case 'form':
      return `${emitted.host} form, means ${serviceOf(emitted.means)}`
    case 'port':
      return `${emitted.host} has no ${emitted.port}${emitted.implied ? ', implied' : ''}`
    case 'subset':
      return `${emitted.host} has no subset ${emitted.subset}`
  }
}

const hostsOf = (...hosts: string[]) => emission({ hosts, http: anyRoute }).hosts.map(describeHost)

/** For each match, the ports that carry it, or why none does. */
const routesOf = (spec: object) =>
  emission({ http: anyRoute, ...spec }).routes.map(({ ports, dropped }) => dropped ?? ports.join(' '))

const destinationsOf = (spec: object) => emission({ hosts: [orders], ...spec }).destinations.map(describeDestination)

t.test('what a host stands for', async (t) => {
  const ordersHost = `${orders} HTTP:3111`
  const rows: [story: string, host: string, expected: string][] = [
    ['the full name of a Service', orders, ordersHost],
    ['a short name, in the namespace of the VirtualService', 'orders', ordersHost],
    ['upper case, since http hosts are compared in lower case', 'Orders.SHOP.svc.cluster.local', ordersHost],
    ['a short name in upper case', 'ORDERS', ordersHost],
    ['a Service in another namespace', count, `${count} HTTP:3111 HTTP:9095`],
    ['every class of port', everyClass, `${everyClass} HTTP:8080 TCP:9000 TLS:8443 UDP:5353 undetermined:7000`],
    ['a short name of another namespace', 'count', 'missing, shop/count'],
    ['a full name without Service', 'pay.shop.svc.cluster.local', 'missing, shop/pay'],
    ['a full name that no Service can have', 'a.b.c.svc.cluster.local', 'missing, none'],
    ['service and namespace', 'orders.shop', 'form, means shop/orders'],
    ['service and another namespace that exists', 'pay.stock', 'form, means stock/pay'],
    ['the same in upper case', 'Pay.STOCK', 'form, means stock/pay'],
    ['a Service that is not there, in the own namespace', 'pay.shop', 'form, means shop/pay'],
    ['two labels of which the second is no namespace', 'pay.example', 'foreign'],
    ['service, namespace and svc', 'orders.shop.svc', 'form, means shop/orders'],
    ['the same of any namespace', 'orders.nowhere.svc', 'form, means nowhere/orders'],
    ['a full name with a dot at its end', `${orders}.`, 'form, means shop/orders'],
    ['a short name with a dot at its end', 'orders.', 'form, means shop/orders'],
    ['an IPv4 address', '10.0.0.1', 'form, means none'],
    ['an IPv6 address', 'fd00::7', 'form, means none'],
    ['a host of a ServiceEntry', 'pay.example.com', 'pay.example.com TLS:443 HTTP:8080'],
    ['a host of a ServiceEntry in upper case', 'PAY.example.com', 'pay.example.com TLS:443 HTTP:8080'],
    ['a dotted host that a ServiceEntry has', 'good.stock', 'good.stock HTTP:6000'],
    ["a ServiceEntry in the cluster's domain", 'db.shop.svc.cluster.local', 'db.shop.svc.cluster.local HTTP:5000'],
    ['the short name of such a one', 'db', 'db.shop.svc.cluster.local HTTP:5000'],
    ['a host that only a wildcard ServiceEntry covers', 'a.wild.example.com', 'foreign'],
    ['the wildcard itself', '*.wild.example.com', '*.wild.example.com HTTP:8080'],
    ['a wildcard over Services', '*.stock.svc.cluster.local', `${count} HTTP:3111 HTTP:9095`],
    ['a wildcard in upper case', '*.STOCK.svc.cluster.local', `${count} HTTP:3111 HTTP:9095`],
    ['a wildcard over nothing', '*.nowhere.svc.cluster.local', 'foreign'],
    ['a host elsewhere', 'www.example.com', 'foreign'],
  ]
  for (const [story, host, expected] of rows) t.strictSame(hostsOf(host), [expected], `${story}: ${host}`)
})

t.test('a dotted name means a Service that exists even where its namespace is not listed', async (t) => {
  const store = new ObjectStore({ clusterDomain: mesh.clusterDomain, unlistedNamespacesSelected: true })
  for (const object of parseManifests(objects, 'objects.yaml')) if (object.kind === 'Service') store.put(object)
  const virtualService = parseVirtualService({
    metadata: { namespace: 'shop' },
    spec: { hosts: ['count.stock', 'pay.stock'] },
  })
  t.strictSame(emit(virtualService, client, store, mesh).hosts.map(describeHost), [
    'form, means stock/count',
    'foreign',
  ])
})

t.test("another cluster domain is the mesh's own", async (t) => {
  const store = new ObjectStore({ clusterDomain: 'corp.example', unlistedNamespacesSelected: true })
  for (const object of parseManifests(objects, 'objects.yaml')) store.put(object)
  const hosts = ['orders', 'orders.shop.svc.corp.example', orders]
  const virtualService = parseVirtualService({ metadata: { namespace: 'shop' }, spec: { hosts } })
  t.strictSame(
    emit(virtualService, client, store, { ...mesh, clusterDomain: 'corp.example' }).hosts.map(describeHost),
    ['orders.shop.svc.corp.example HTTP:3111', 'orders.shop.svc.corp.example HTTP:3111', 'foreign'],
  )
})

t.test('a host keeps its place and its spelling', async (t) => {
  t.strictSame(
    emission({ hosts: [orders, 'Pay'] }).hosts.map(({ field, host }) => [field, host]),
    [
      ['spec.hosts[0]', orders],
      ['spec.hosts[1]', 'Pay'],
    ],
  )
})

t.test('a target knows its Service, unless it comes from a ServiceEntry', async (t) => {
  const targets = emission({ hosts: ['orders', 'pay.example.com'] }).hosts.flatMap((host) =>
    host.kind === 'resolved' ? host.targets.map(({ service }) => service?.name) : [],
  )
  t.strictSame(targets, ['orders', undefined])
})

t.test('the listener ports that carry a route', async (t) => {
  const hosts = [orders]
  const match = (...matches: object[]) => ({ http: [{ match: matches, route: [to(read, 3100)] }] })
  const rows: [story: string, spec: object, expected: string[]][] = [
    ['a route without match', { hosts }, ['3111']],
    ['a match without port', { hosts, ...match({ uri: { prefix: '/' } }) }, ['3111']],
    ['a match on a port of the host', { hosts, ...match({ port: 3111 }) }, ['3111']],
    ['a match on a port that the host has not', { hosts, ...match({ port: 3112 }) }, ['port']],
    [
      'matches are judged one by one',
      { hosts, ...match({ port: 3112 }, { port: 3111 }, {}) },
      ['port', '3111', 'shadowed'],
    ],
    ['no host', { hosts: ['pay'] }, ['host']],
    ['the short dotted name alone', { hosts: ['orders.shop'] }, ['host']],
    ['a host that only a wildcard ServiceEntry covers', { hosts: ['a.wild.example.com'] }, ['host']],
    ['an IP address', { hosts: ['10.0.0.1'] }, ['host']],
    ['dotted names beside the full one', { hosts: [orders, 'orders.shop', 'orders.shop.svc'] }, ['3111']],
    ['upper case', { hosts: ['ORDERS.shop.svc.cluster.local'] }, ['3111']],
    ['HTTP and undetermined ports carry it, the others do not', { hosts: [everyClass] }, ['8080 7000']],
    [
      'a port of another class',
      { hosts: [everyClass], ...match({ port: 9000 }, { port: 8443 }, { port: 5353 }, { port: 7000 }) },
      ['class', 'class', 'class', '7000'],
    ],
    ['a port that is both UDP and HTTP', { hosts: ['names'], ...match({ port: 5300 }) }, ['5300']],
    ['several hosts with different ports', { hosts: [orders, count, 'good.stock'] }, ['3111 9095 6000']],
    [
      'several hosts, and a port that one of them has',
      { hosts: [orders, count], ...match({ port: 9095 }, { port: 3111 }, { port: 1 }) },
      ['9095', '3111', 'port'],
    ],
    ['a wildcard with different ports', { hosts: ['*.shop.svc.cluster.local'] }, ['3111 8080 7000 5300 3100 5000']],
    [
      'a wildcard, and a port that one Service under it has',
      { hosts: ['*.shop.svc.cluster.local'], ...match({ port: 3100 }, { port: 9095 }) },
      ['3100', 'port'],
    ],
    ['an ExternalName Service', { hosts: ['alias'] }, ['3111']],
    ['the HTTP port of a ServiceEntry', { hosts: ['pay.example.com'] }, ['8080']],
    ['the TLS port of a ServiceEntry', { hosts: ['pay.example.com'], ...match({ port: 443 }) }, ['class']],
    ['a match for the mesh', { hosts, ...match({ gateways: ['mesh'] }) }, ['3111']],
    ['a match for the mesh and a gateway', { hosts, ...match({ gateways: ['shop/edge', 'mesh'] }) }, ['3111']],
    ['a match for a gateway only', { hosts, ...match({ gateways: ['shop/edge'] }) }, ['gateway']],
    ['the mesh in another spelling is a gateway', { hosts, ...match({ gateways: ['Mesh'] }) }, ['gateway']],
    ['a gateway comes before a wrong port', { hosts, ...match({ gateways: ['shop/edge'], port: 1 }) }, ['gateway']],
    [
      'a port that only a listed gateway can have',
      { hosts, gateways: ['mesh', 'shop/edge'], ...match({ port: 443 }, { port: 3111 }) },
      ['port', '3111'],
    ],
    ['no http route', { hosts, http: [] }, []],
  ]
  for (const [story, spec, expected] of rows) t.strictSame(routesOf(spec), expected, story)
})

t.test('a route is told with its match', async (t) => {
  const { routes } = emission({ hosts: [orders], http: [{ match: [{ port: 3111 }, { port: 1 }] }, {}] })
  t.strictSame(
    routes.map(({ route, match }) => [route.field, match?.field]),
    [
      ['spec.http[0]', 'spec.http[0].match[0]'],
      ['spec.http[0]', 'spec.http[0].match[1]'],
      ['spec.http[1]', undefined],
    ],
  )
})

t.test('whether a sidecar is given a VirtualService at all', async (t) => {
  const rows: [story: string, gateways: string[] | undefined, onMesh: boolean, otherGateways: string[]][] = [
    ['no gateways', undefined, true, []],
    ['an empty list', [], true, []],
    ['the mesh', ['mesh'], true, []],
    ['the mesh beside others', ['shop/edge', 'mesh'], true, ['shop/edge']],
    ['others only', ['shop/edge'], false, ['shop/edge']],
    ['another spelling', ['Mesh'], false, ['Mesh']],
    ['a Gateway called mesh', ['shop/mesh'], false, ['shop/mesh']],
  ]
  for (const [story, gateways, onMesh, otherGateways] of rows) {
    const spec = { hosts: [orders], ...(gateways === undefined ? {} : { gateways }), http: anyRoute }
    t.strictSame([emission(spec).onMesh, emission(spec).otherGateways], [onMesh, otherGateways], story)
    t.equal(isOnMesh(parseVirtualService({ spec })), onMesh, story)
    t.equal(emission(spec).routes.length, onMesh ? 1 : 0, story)
  }
})

const noRows = {
  client,
  hosts: [],
  targets: [],
  ports: { http: [], tcp: [], tls: [] },
  taken: [],
  routes: [],
  destinations: [],
  delegations: [],
  namespaces: new Set(),
}

t.test('what is off the mesh has no rows', async (t) => {
  const spec = { hosts: ['nothing'], gateways: ['shop/edge'], http: [{ route: [to('nothing')] }] }
  t.strictSame(emission(spec), { ...noRows, onMesh: false, otherGateways: ['shop/edge'] })
})

t.test('a delegate has no rows of its own', async (t) => {
  t.strictSame(emission({ http: [{ route: [to('nothing')] }] }), { ...noRows, onMesh: true, otherGateways: [] })
})

t.test('whether the cluster that a destination names exists', async (t) => {
  const rows: [story: string, host: string, port: number | undefined, expected: string][] = [
    ['a port of a Service', read, 3100, `${read} exists`],
    ['a short name', 'read', 3100, `${read} exists`],
    ['another namespace', count, 9095, `${count} exists`],
    ['a port of a ServiceEntry', 'pay.example.com', 443, 'pay.example.com exists'],
    ['a dotted host of a ServiceEntry', 'good.stock', 6000, 'good.stock exists'],
    ["a ServiceEntry in the cluster's domain", 'db', 5000, 'db.shop.svc.cluster.local exists'],
    ['a port that it has not', read, 3111, `${read} has no 3111`],
    ['a port that the ServiceEntry has not', 'pay.example.com', 80, 'pay.example.com has no 80'],
    ['no port, where it has the one that is listened on', count, undefined, `${count} exists`],
    ['no port, where it has another one only', read, undefined, `${read} has no 3111, implied`],
    ['an ExternalName Service', 'alias', 3111, 'alias.shop.svc.cluster.local exists'],
    ['a port of what an ExternalName Service stands for', 'alias', 9095, 'alias.shop.svc.cluster.local exists'],
    ['no Service', 'nothing', 80, 'nothing.shop.svc.cluster.local missing'],
    ['a full name without Service', 'a.b.svc.cluster.local', 80, 'a.b.svc.cluster.local missing'],
    ['a host elsewhere', 'www.example.com', 80, 'www.example.com missing'],
    ['two labels of which the second is no namespace', 'pay.example', 80, 'pay.example missing'],
    ['a host that only a wildcard ServiceEntry covers', 'a.wild.example.com', 8080, 'a.wild.example.com missing'],
    ['an IP address', '10.0.0.1', 80, '10.0.0.1 missing'],
    ['a wildcard over Services', '*.stock.svc.cluster.local', 3111, '*.stock.svc.cluster.local missing'],
    ['service and namespace', 'read.shop', 3100, 'read.shop form, means shop/read'],
    ['service, namespace and svc', 'read.shop.svc', 3100, 'read.shop.svc form, means shop/read'],
    ['a dot at the end', `${read}.`, 3100, `${read}. form, means shop/read`],
    [
      'upper case, since destinations are compared as they are',
      'Read.shop.svc.cluster.local',
      3100,
      'Read.shop.svc.cluster.local form, means shop/read',
    ],
    ['a short name in upper case', 'READ', 3100, 'READ.shop.svc.cluster.local form, means shop/read'],
    ['upper case of a ServiceEntry', 'PAY.example.com', 443, 'PAY.example.com missing'],
  ]
  for (const [story, host, port, expected] of rows) {
    t.strictSame(destinationsOf({ http: [{ route: [to(host, port)] }] }), [expected], story)
  }
})

t.test('a port that is left out must be there for every port that is listened on', async (t) => {
  const hosts = [orders, count]
  t.strictSame(destinationsOf({ hosts, http: [{ route: [to(count)] }] }), [`${count} exists`])
  t.strictSame(destinationsOf({ hosts, http: [{ route: [to(orders)] }] }), [`${orders} has no 9095, implied`])
  t.strictSame(
    destinationsOf({ hosts, http: [{ match: [{ port: 3111 }], route: [to(orders)] }] }),
    [`${orders} exists`],
    'a match narrows what is listened on',
  )
})

t.test('a destination beside others', async (t) => {
  const rows: [story: string, route: object[], expected: string[]][] = [
    [
      'all are judged',
      [to(read, 3100, 50), to('nothing', 1, 50)],
      [`${read} exists`, 'nothing.shop.svc.cluster.local missing'],
    ],
    ['weight 0 is dropped', [to(read, 3100, 100), to('nothing', 1, 0)], [`${read} exists`]],
    ['no weight is weight 0', [to(read, 3100, 100), to('nothing', 1)], [`${read} exists`]],
    ['alone it needs no weight', [to('nothing', 1)], ['nothing.shop.svc.cluster.local missing']],
    ['alone it may say 0', [to('nothing', 1, 0)], ['nothing.shop.svc.cluster.local missing']],
  ]
  for (const [story, route, expected] of rows) t.strictSame(destinationsOf({ http: [{ route }] }), expected, story)
})

t.test('mirrors are destinations', async (t) => {
  const route = [to(read, 3100, 50), to(count, 9095, 50)]
  t.strictSame(
    destinationsOf({ http: [{ route, mirror: to('a', 1).destination, mirrors: [to('read.shop', 3100)] }] }),
    [`${read} exists`, `${count} exists`, 'a.shop.svc.cluster.local missing', 'read.shop form, means shop/read'],
  )
})

t.test('a destination is told with its field, the ports that its host has, and the one that it lacks', async (t) => {
  const { destinations } = emission({ hosts: [orders], http: [{ route: [to(read, 1)] }] })
  t.match(destinations, [
    { destination: { field: 'spec.http[0].route[0].destination' }, host: read, ports: [3100], port: 1, implied: false },
  ])
})

t.test('which routes have their destinations judged', async (t) => {
  const http = (match: object) => ({ http: [{ match: [match], route: [to('nothing', 1)] }] })
  const missing = ['nothing.shop.svc.cluster.local missing']
  const rows: [story: string, spec: object, expected: string[]][] = [
    ['one that is emitted', http({ port: 3111 }), missing],
    ['one on a wrong port, so that all that is wrong is said at once', http({ port: 1 }), missing],
    ['one without host, likewise', { hosts: ['pay'], ...http({}) }, missing],
    ['one for a gateway is its business', http({ gateways: ['shop/edge'] }), []],
    ['one on a port that a listed gateway may have', { gateways: ['mesh', 'shop/edge'], ...http({ port: 443 }) }, []],
    ['one that is emitted, for a gateway too', { gateways: ['mesh', 'shop/edge'], ...http({}) }, missing],
    [
      'one that is emitted by one match of two',
      { http: [{ match: [{ gateways: ['shop/edge'] }, { port: 3111 }], route: [to('nothing', 1)] }] },
      missing,
    ],
    [
      'where none is listened on, the ports of the hosts are implied',
      { http: [{ match: [{ port: 1 }], route: [to(read)] }] },
      destinationsOf({ http: [{ route: [to(read)] }] }),
    ],
  ]
  for (const [story, spec, expected] of rows) t.strictSame(destinationsOf(spec), expected, story)
})

const anyHost = fc.constantFrom(
  orders,
  'names',
  everyClass,
  count,
  '*.shop.svc.cluster.local',
  'pay.example.com',
  'orders.shop',
  'nothing',
)
const anyPort = fc.constantFrom(3111, 8080, 9000, 8443, 5353, 7000, 5300, 3100, 9095, 443, 1)
const anyMatch = fc.record(
  { port: anyPort, gateways: fc.subarray(['mesh', 'shop/edge'], { minLength: 1 }) },
  { requiredKeys: [] },
)
const anySpec = fc.record({
  hosts: fc.array(anyHost, { minLength: 1, maxLength: 3 }),
  gateways: fc.constantFrom([], ['mesh'], ['mesh', 'shop/edge']),
  http: fc.array(
    fc.record({
      match: fc.array(anyMatch, { maxLength: 3 }),
      route: fc.array(
        fc.tuple(anyHost, anyPort).map(([host, port]) => to(host, port)),
        { maxLength: 2 },
      ),
    }),
    { minLength: 1, maxLength: 3 },
  ),
})

t.test('every match has its row, and is emitted or has a reason, never both', async () => {
  fc.assert(
    fc.property(anySpec, (spec) => {
      const { routes } = emission(spec)
      const rows = spec.http.reduce((sum, { match }) => sum + Math.max(match.length, 1), 0)
      return (
        routes.length === rows && routes.every(({ ports, dropped }) => ports.length > 0 !== (dropped !== undefined))
      )
    }),
  )
})

t.test('no route is carried by a port whose class does not fit, or twice by one', async () => {
  const closed = new Set([9000, 8443, 5353, 443, 1])
  fc.assert(
    fc.property(anySpec, (spec) =>
      emission(spec).routes.every(
        ({ ports, match }) =>
          ports.every((port) => !closed.has(port) && (match?.port ?? port) === port) &&
          new Set(ports).size === ports.length,
      ),
    ),
  )
})

t.test('the order of the hosts changes no verdict', async () => {
  fc.assert(
    fc.property(anySpec, (spec) => {
      const verdicts = (hosts: string[]) => {
        const { routes, destinations } = emission({ ...spec, hosts })
        return JSON.stringify([
          routes.map(({ ports, dropped }) => [dropped, ports.toSorted((a, b) => a - b)]),
          destinations.map(describeDestination),
        ])
      }
      return verdicts(spec.hosts) === verdicts(spec.hosts.toReversed())
    }),
  )
})

t.test('a wildcard that a ServiceEntry lists is a destination, by that very text', async (t) => {
  t.strictSame(destinationsOf({ http: [{ route: [to('*.wild.example.com', 8080)] }] }), ['*.wild.example.com exists'])
  t.strictSame(destinationsOf({ http: [{ route: [to('*.stock', 3111)] }] }), ['*.stock missing'])
})

t.test('there is no cluster for a UDP port', async (t) => {
  const [emitted] = emission({ hosts: [orders], http: [{ route: [to('every-class', 5353)] }] }).destinations
  t.equal(emitted?.kind, 'port')
})

t.test('on port 80 sidecars are given what they are given nowhere else', async (t) => {
  const [emitted] = emission({ hosts: [orders], http: [{ match: [{ port: 80 }], route: [to(read, 3100)] }] }).routes
  t.strictSame(emitted?.ports, [80])
})

t.test(
  'what some Pods only are given leaves requests to later routes, unless a gateway makes Istio read over it',
  async (t) => {
    const [forSome, forAll] = [{ sourceLabels: { app: 'a' } }, { sourceLabels: { app: 'a' }, gateways: ['mesh'] }]
    const http = (match: object) =>
      routesOf({ hosts: [orders], http: [{ ...anyRoute[0], match: [match] }, anyRoute[0]] })
    t.strictSame(http(forSome), ['3111', '3111'])
    t.strictSame(http(forAll), ['3111', 'shadowed'])
    const tcp = (match: object) =>
      routesOf({
        hosts: [everyClass],
        http: undefined,
        tcp: [
          { ...anyRoute[0], match: [{ port: 9000, ...match }] },
          { ...anyRoute[0], match: [{ port: 9000 }] },
        ],
      })
    t.strictSame(tcp(forSome), ['9000', '9000'])
    t.strictSame(tcp(forAll), ['9000', '9000'], 'of http routes alone')
  },
)

t.test('an HTTP port that Istio keeps for itself carries nothing, a TCP port of that number does', async (t) => {
  const kept = (name: 'http' | 'tcp', routes: 'http' | 'tcp' = name) => {
    const store = new ObjectStore({ clusterDomain: mesh.clusterDomain, unlistedNamespacesSelected: true })
    const text = `{ apiVersion: v1, kind: Service, metadata: { namespace: shop, name: kept }, spec: { ports: [{ name: ${name}, port: 15021 }] } }`
    for (const object of parseManifests(text, 'kept.yaml')) store.put(object)
    const spec = { hosts: ['kept'], [routes]: [{ ...anyRoute[0], match: [{ port: 15021 }] }] }
    const emission = emit(parseVirtualService({ metadata: { namespace: 'shop' }, spec }), client, store, mesh)
    return [...emission.routes.map((one) => one.dropped ?? one.ports.join()), ...Object.values(emission.ports).flat()]
  }
  t.strictSame(kept('http'), ['reserved'])
  t.strictSame(kept('http', 'tcp'), ['class'], 'nor would it a tcp route')
  t.strictSame(kept('tcp'), ['15021', 15021])
})

t.test('after a match that takes every request nothing more is emitted on its ports', async (t) => {
  const rows: [story: string, http: object[], expected: string[]][] = [
    ['a route without match', [{}, {}], ['3111', 'shadowed']],
    ['a match of the port alone', [{ match: [{ port: 3111 }] }, {}], ['3111', 'shadowed']],
    ['a match of every path', [{ match: [{ uri: { prefix: '/' } }] }, {}], ['3111', 'shadowed']],
    [
      'a match of every path by expression',
      [{ match: [{ uri: { regex: '.*' }, name: 'all' }] }, {}],
      ['3111', 'shadowed'],
    ],
    ['a match of a path', [{ match: [{ uri: { prefix: '/a' } }] }, {}], ['3111', '3111']],
    ['a match of a header', [{ match: [{ headers: { a: { exact: 'b' } } }] }, {}], ['3111', '3111']],
    ['a match of another namespace', [{ match: [{ sourceNamespace: 'a' }] }, {}], ['source', '3111']],
    ["a match of the client's namespace", [{ match: [{ sourceNamespace: 'shop' }] }, {}], ['3111', 'shadowed']],
    ['a match of some of its Pods', [{ match: [{ sourceLabels: { app: 'web' } }] }, {}], ['3111', '3111']],
    ['a match for another gateway', [{ match: [{ gateways: ['public'] }] }, {}], ['gateway', '3111']],
    ['a match of a port that no host has', [{ match: [{ port: 9 }] }, {}], ['port', '3111']],
    ['the first of two matches', [{ match: [{}, { uri: { exact: '/a' } }] }], ['3111', 'shadowed']],
  ]
  for (const [story, http, expected] of rows) t.strictSame(routesOf({ hosts: [orders], http }), expected, story)
  const shadowed = { http: [{ route: [to(read, 3100)] }, { route: [to('nothing', 1)] }] }
  t.strictSame(destinationsOf(shadowed), [`${read} exists`], 'and nobody is sent to its destinations')
})

t.test('of what this cluster cannot show nothing is said to be missing', async (t) => {
  const [remote, legacy] = ['web.east.svc.cluster.local', 'Legacy.example.com']
  t.strictSame(hostsOf(remote, legacy, '*.east.svc.cluster.local', '*.example.net', 'web.west.svc.cluster.local'), [
    'unknown',
    'unknown',
    'unknown',
    'unknown',
    'missing, west/web',
  ])
  const routed = (...hosts: string[]) => routesOf({ hosts, http: [{ match: [{ port: 3111 }, { port: 9 }] }] })
  t.strictSame(routed(remote), ['unknown', 'unknown'])
  t.strictSame(routed(remote, orders), ['3111', 'unknown'], 'beside a host that is here')
  t.strictSame(routesOf({ hosts: [remote, 'every-class'], http: [{ match: [{ port: 9000 }] }] }), ['unknown'])
  const destinations = (hosts: string[], ...each: object[]) =>
    destinationsOf({
      hosts,
      http: each.map((one, index) => ({ match: [{ uri: { exact: `/${index}` } }], route: [one] })),
    })
  t.strictSame(destinations([orders], to(remote, 9), to(legacy)), [`${remote} unknown`, `${legacy} unknown`])
  t.strictSame(
    destinations([remote], to(read), to(read, 9), to('none', 1)),
    [`${read} exists`, `${read} has no 9`, 'none.shop.svc.cluster.local missing'],
    'what is here is judged, but for a port that only a listener could imply',
  )
})

t.test('many hosts, routes and destinations take no more than their number', async (t) => {
  const many = 20_000
  const started = performance.now()
  const hosts = Array.from({ length: many }, () => '*.shop.svc.cluster.local')
  const http = Array.from({ length: many }, (_, index) => ({
    match: [{ uri: { exact: `/${index}` } }],
    route: [to(read, 3100)],
  }))
  t.equal(emission({ hosts, http }).routes.length, many)
  const route = Array.from({ length: many }, () => to(read, 3100, 1))
  t.equal(emission({ hosts: [orders], http: [{ route }] }).destinations.length, many)
  // Quadratic it would be minutes.
  t.ok(performance.now() - started < 10_000)
})

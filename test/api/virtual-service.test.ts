import t from 'tap'
import { parseVirtualService } from '../../src/api/virtual-service.ts'

const metadata = { namespace: 'shop', name: 'orders' }

/** A route, and a match, in which nothing is said. */
const route = {
  protocol: 'http',
  field: '',
  name: '',
  matches: [],
  destinations: [],
  mirrors: [],
  answers: false,
  delegate: undefined,
}
const match = {
  field: '',
  name: '',
  port: undefined,
  gateways: [],
  sourceNamespace: '',
  sourceLabels: new Map(),
  conditions: '{}',
  isCatchAll: true,
}

t.test('a VirtualService without spec routes nothing', async (t) => {
  t.strictSame(parseVirtualService({ metadata }), {
    ...metadata,
    created: '',
    hosts: [],
    gateways: [],
    exportTo: [],
    routes: [],
  })
})

t.test('a VirtualService is read whole, each part with its path', async (t) => {
  const virtualService = parseVirtualService({
    metadata: { ...metadata, creationTimestamp: '2026-01-02T03:04:05Z' },
    spec: {
      hosts: ['orders.shop.svc.cluster.local'],
      gateways: ['mesh', 'istio-system/ingress'],
      exportTo: ['.', 'pay'],
      http: [
        { redirect: { uri: '/' } },
        {
          name: 'read',
          match: [
            { name: 'a', uri: { prefix: '/a' }, sourceNamespace: 'shop', sourceLabels: { app: 'web' } },
            { port: 8080, gateways: ['mesh'] },
          ],
          route: [
            { destination: { host: 'read', subset: 'v1', port: { number: 3100 } }, weight: 90 },
            { destination: { host: 'read' } },
          ],
          mirror: { host: 'shadow', port: { number: 1 } },
          mirrors: [{ destination: { host: 'shadow-2' }, percentage: { value: 5 } }],
        },
        { delegate: { name: 'pay', namespace: 'billing' } },
        { delegate: { name: 'pay' } },
        { directResponse: { status: 404 } },
      ],
      tcp: [
        { route: [{ destination: { host: 'db' } }] },
        { match: [{ destinationSubnets: ['10.0.0.0/8'], port: 3306 }], route: [] },
      ],
      tls: [{ match: [{ sniHosts: ['b', 'a'] }], route: [] }],
    },
  })
  t.strictSame(virtualService, {
    namespace: 'shop',
    name: 'orders',
    created: '2026-01-02T03:04:05Z',
    hosts: ['orders.shop.svc.cluster.local'],
    gateways: ['mesh', 'istio-system/ingress'],
    exportTo: ['.', 'pay'],
    routes: [
      { ...route, field: 'spec.http[0]', answers: true },
      {
        ...route,
        field: 'spec.http[1]',
        name: 'read',
        matches: [
          {
            ...match,
            field: 'spec.http[1].match[0]',
            name: 'a',
            conditions: '{"uri":{"prefix":"/a"}}',
            sourceNamespace: 'shop',
            sourceLabels: new Map([['app', 'web']]),
            isCatchAll: false,
          },
          { ...match, field: 'spec.http[1].match[1]', port: 8080, gateways: ['mesh'] },
        ],
        destinations: [
          {
            field: 'spec.http[1].route[0].destination',
            host: 'read',
            subset: 'v1',
            port: 3100,
            isMirror: false,
            weight: 90,
          },
          {
            field: 'spec.http[1].route[1].destination',
            host: 'read',
            subset: undefined,
            port: undefined,
            isMirror: false,
            weight: undefined,
          },
        ],
        mirrors: [
          {
            field: 'spec.http[1].mirror',
            host: 'shadow',
            subset: undefined,
            port: 1,
            isMirror: true,
            weight: undefined,
          },
          {
            field: 'spec.http[1].mirrors[0].destination',
            host: 'shadow-2',
            subset: undefined,
            port: undefined,
            isMirror: true,
            weight: undefined,
          },
        ],
      },
      { ...route, field: 'spec.http[2]', delegate: { namespace: 'billing', name: 'pay' } },
      { ...route, field: 'spec.http[3]', delegate: { namespace: '', name: 'pay' } },
      { ...route, field: 'spec.http[4]', answers: true },
      {
        ...route,
        protocol: 'tcp',
        field: 'spec.tcp[0]',
        destinations: [
          {
            field: 'spec.tcp[0].route[0].destination',
            host: 'db',
            subset: undefined,
            port: undefined,
            isMirror: false,
            weight: undefined,
          },
        ],
      },
      {
        ...route,
        protocol: 'tcp',
        field: 'spec.tcp[1]',
        matches: [
          {
            ...match,
            field: 'spec.tcp[1].match[0]',
            port: 3306,
            conditions: '{"destinationSubnets":["10.0.0.0/8"]}',
            isCatchAll: false,
          },
        ],
      },
      {
        ...route,
        protocol: 'tls',
        field: 'spec.tls[0]',
        matches: [{ ...match, field: 'spec.tls[0].match[0]', conditions: '{"sniHosts":["b","a"]}', isCatchAll: false }],
      },
    ],
  })
})

t.test('conditions with equal meaning have equal texts', async (t) => {
  const conditions = (match: object) =>
    parseVirtualService({ metadata, spec: { http: [{ match: [match] }] } }).routes[0]?.matches[0]?.conditions
  t.equal(
    conditions({ uri: { exact: '/' }, headers: { b: { exact: '1' }, a: { prefix: '2' } } }),
    conditions({ headers: { a: { prefix: '2' }, b: { exact: '1' } }, uri: { exact: '/' }, port: 80, name: 'x' }),
  )
})

t.test('which conditions take every request', async (t) => {
  const rows: [match: object, expected: boolean][] = [
    [{}, true],
    [{ uri: { prefix: '/' } }, true],
    [{ uri: { regex: '.*' } }, true],
    [{ uri: { prefix: '/' }, ignoreUriCase: true }, true],
    [{ headers: {}, queryParams: {} }, true],
    [{ port: 80, gateways: ['mesh'], sourceNamespace: 'a', sourceLabels: { a: 'b' }, statPrefix: 'x' }, true],
    [{ uri: { exact: '/' } }, false],
    [{ uri: { prefix: '/a' } }, false],
    [{ headers: { a: { exact: 'b' } } }, false],
    [{ withoutHeaders: { a: {} } }, false],
    [{ queryParams: { a: { exact: 'b' } } }, false],
    [{ method: { exact: 'GET' } }, false],
    [{ scheme: { exact: 'http' } }, false],
    [{ authority: { exact: 'a' } }, false],
  ]
  for (const [match, expected] of rows) {
    const { routes } = parseVirtualService({ metadata, spec: { http: [{ match: [match] }] } })
    t.equal(routes[0]?.matches[0]?.isCatchAll, expected, JSON.stringify(match))
  }
})

t.test('a match on port 0 is a match on any port, as for Istio', async (t) => {
  const { routes } = parseVirtualService({ metadata, spec: { http: [{ match: [{ port: 0 }] }] } })
  t.equal(routes[0]?.matches[0]?.port, undefined)
})

t.test('a weight of 0 is not an absent one', async (t) => {
  const { routes } = parseVirtualService({
    metadata,
    spec: { http: [{ route: [{ destination: { host: 'a' }, weight: 0 }] }] },
  })
  t.equal(routes[0]?.destinations[0]?.weight, 0)
})

t.test('a destination without host is read, as an empty one', async (t) => {
  const { routes } = parseVirtualService({ metadata, spec: { http: [{ route: [{}] }] } })
  t.equal(routes[0]?.destinations[0]?.host, '')
})

t.test('a malformed VirtualService is refused by the field', async (t) => {
  const rows: [spec: unknown, field: string][] = [
    ['text', 'spec'],
    [{ hosts: 'orders' }, 'spec.hosts'],
    [{ http: {} }, 'spec.http'],
    [{ tls: 'text' }, 'spec.tls'],
    [{ http: [{ match: [{ port: '80' }] }] }, 'spec.http[0].match[0].port'],
    [
      { http: [{ route: [{ destination: { port: { number: '80' } } }] }] },
      'spec.http[0].route[0].destination.port.number',
    ],
  ]
  for (const [spec, field] of rows) {
    t.throws(() => parseVirtualService({ metadata, spec }), { name: 'MalformedObject', field }, field)
  }
})

t.test('of nothing there is no mirror', async (t) => {
  const mirrors = (fields: object) =>
    parseVirtualService({ metadata, spec: { http: [{ mirror: { host: 'shadow' }, ...fields }] } }).routes[0]?.mirrors
      .length
  t.equal(mirrors({}), 1)
  t.equal(mirrors({ mirrorPercentage: { value: 1 } }), 1)
  t.equal(mirrors({ mirrorPercentage: { value: 0 } }), 0)
  t.equal(mirrors({ mirrorPercent: 0 }), 0)
  t.equal(mirrors({ mirrorPercentage: {}, mirrorPercent: 50 }), 0, 'the percentage counts')
  t.equal(mirrors({ mirrors: [{ destination: { host: 'a' }, percentage: { value: 0 } }] }), 1, 'a mirror of 0 % beside')
  t.equal(mirrors({ mirrors: [{ destination: { host: 'a' }, percentage: {} }] }), 1)
  t.equal(mirrors({ mirrors: [{ destination: { host: 'a' }, percentage: { value: 1 } }] }), 2)
  t.equal(mirrors({ mirrors: [{ destination: { host: 'a' } }] }), 2)
})

t.test('a delegate that has no name is none of anybody’s', async (t) => {
  const [route] = parseVirtualService({ metadata, spec: { http: [{ delegate: {} }] } }).routes
  t.strictSame(route?.delegate, { namespace: '', name: '' })
})

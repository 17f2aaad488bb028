import t from 'tap'
import { parseVirtualService } from '../../src/api/virtual-service.ts'

const metadata = { namespace: 'shop', name: 'orders' }

t.test('a VirtualService without spec routes nothing', async (t) => {
  t.strictSame(parseVirtualService({ metadata }), {
    ...metadata,
    hosts: [],
    gateways: [],
    http: [],
    hasTcpRoutes: false,
  })
})

t.test('a VirtualService is read whole, each part with its path', async (t) => {
  const virtualService = parseVirtualService({
    metadata,
    spec: {
      hosts: ['orders.shop.svc.cluster.local'],
      gateways: ['mesh', 'istio-system/ingress'],
      http: [
        { redirect: { uri: '/' } },
        {
          name: 'read',
          match: [{ uri: { prefix: '/a' } }, { port: 8080, gateways: ['mesh'] }],
          route: [
            { destination: { host: 'read', subset: 'v1', port: { number: 3100 } }, weight: 90 },
            { destination: { host: 'read' } },
          ],
          mirror: { host: 'shadow', port: { number: 1 } },
          mirrors: [{ destination: { host: 'shadow-2' }, percentage: { value: 5 } }],
        },
      ],
    },
  })
  t.strictSame(virtualService, {
    namespace: 'shop',
    name: 'orders',
    hosts: ['orders.shop.svc.cluster.local'],
    gateways: ['mesh', 'istio-system/ingress'],
    http: [
      { field: 'spec.http[0]', name: '', matches: [], destinations: [], mirrors: [] },
      {
        field: 'spec.http[1]',
        name: 'read',
        matches: [
          { field: 'spec.http[1].match[0]', port: undefined, gateways: [], isCatchAll: false },
          { field: 'spec.http[1].match[1]', port: 8080, gateways: ['mesh'], isCatchAll: true },
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
    ],
    hasTcpRoutes: false,
  })
})

t.test('tcp and tls routes are noticed', async (t) => {
  const rows: [spec: object, expected: boolean][] = [
    [{ tcp: [{}] }, true],
    [{ tls: [{}] }, true],
    [{ tcp: [], tls: [] }, false],
    [{ http: [{}] }, false],
  ]
  for (const [spec, expected] of rows) {
    t.equal(parseVirtualService({ metadata, spec }).hasTcpRoutes, expected, JSON.stringify(spec))
  }
})

t.test('a match on port 0 is a match on any port, as for Istio', async (t) => {
  const { http } = parseVirtualService({ metadata, spec: { http: [{ match: [{ port: 0 }] }] } })
  t.equal(http[0]?.matches[0]?.port, undefined)
})

t.test('a weight of 0 is not an absent one', async (t) => {
  const { http } = parseVirtualService({
    metadata,
    spec: { http: [{ route: [{ destination: { host: 'a' }, weight: 0 }] }] },
  })
  t.equal(http[0]?.destinations[0]?.weight, 0)
})

t.test('a destination without host is read, as an empty one', async (t) => {
  const { http } = parseVirtualService({ metadata, spec: { http: [{ route: [{}] }] } })
  t.equal(http[0]?.destinations[0]?.host, '')
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
    parseVirtualService({ metadata, spec: { http: [{ mirror: { host: 'shadow' }, ...fields }] } }).http[0]?.mirrors
      .length
  t.equal(mirrors({}), 1)
  t.equal(mirrors({ mirrorPercentage: { value: 1 } }), 1)
  t.equal(mirrors({ mirrorPercentage: { value: 0 } }), 0)
  t.equal(mirrors({ mirrorPercent: 0 }), 0)
})

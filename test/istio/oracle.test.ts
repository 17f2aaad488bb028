import t from 'tap'
import { service } from '../support/objects.ts'
import { type Emitted, startOracle, type WeightedCluster } from './oracle.ts'
import { testWithOracle } from './with-oracle.ts'

/** What Istio emits, as Istio itself says: the facts that src/istio/emission.ts has to agree with. */

const SUFFIX = '.svc.cluster.local'

const istio = (kind: string, name: string, spec: object, metadata: object = {}) => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { namespace: 'shop', name, ...metadata },
  spec,
})

const vs = (spec: object, metadata: object = {}) => istio('VirtualService', 'v', spec, metadata)

const to = (host: string, port?: number, more: object = {}) => ({
  destination: { host, ...(port === undefined ? {} : { port: { number: port } }), ...more },
})

/** One http route without conditions. */
const http = (host: string, port?: number) => [{ route: [to(host, port)] }]

const created = (year: number) => ({ creationTimestamp: `${year}-01-01T00:00:00Z` })

const ORDERS = `orders.shop${SUFFIX}`
const DB = `db.shop${SUFFIX}`
const SECURE = `secure.shop${SUFFIX}`
const ANY = `any.shop${SUFFIX}`

/** What every row has; `orders` is the virtual host, `read` and `count` are destinations. */
const world = [
  service('orders', { clusterIP: '10.0.0.1' }),
  service('read', { clusterIP: '10.0.0.2', ports: [{ name: 'http', port: 3100 }] }),
  service('count', { clusterIP: '10.0.0.3' }, { namespace: 'stock' }),
  service('db', { clusterIP: '10.0.0.4', ports: [{ name: 'tcp', port: 5432 }] }),
  service('replica', { clusterIP: '10.0.0.5', ports: [{ name: 'tcp', port: 5433 }] }),
  service('secure', { clusterIP: '10.0.0.6', ports: [{ name: 'https', port: 8443 }] }),
  service('any', { clusterIP: '10.0.0.7', ports: [{ name: 'web', port: 7000 }] }),
]

type Row = {
  story: string
  objects: readonly object[]
  /** The client's namespace, `shop` unless given. */
  from?: string
  labels?: Record<string, string>
  mesh?: object
  domain?: string
  /** `RDS HOST`: the routes of a virtual host; `RDS`: the names of the virtual hosts; `ADDRESS_PORT`: the chains of a listener. */
  at: string
  /** Undefined where there is no such thing. */
  emits: readonly string[] | undefined
}

const rows: Row[] = [
  // Which routes a virtual host has
  {
    story: 'a Service without VirtualService has a default route to its own cluster',
    objects: [],
    at: '3111 orders.shop',
    emits: ['default: * -> orders.shop:3111'],
  },
  {
    story: 'routes stand in their order, each match by itself',
    objects: [
      vs({
        hosts: ['orders'],
        http: [
          { match: [{ uri: { prefix: '/a' } }, { uri: { exact: '/b' } }], route: [to('read', 3100)] },
          { route: [to('count.stock.svc.cluster.local', 3111)] },
        ],
      }),
    ],
    at: '3111 orders.shop',
    emits: [
      'shop/v: {"prefix":"/a"} -> read.shop:3100',
      'shop/v: {"path":"/b"} -> read.shop:3100',
      'shop/v: * -> count.stock:3111',
    ],
  },
  {
    story: 'nothing comes after a route that takes every request',
    objects: [vs({ hosts: ['orders'], http: [...http('read', 3100), ...http('orders', 3111)] })],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100'],
  },
  {
    story: 'a match port that the host does not have leaves the default route',
    objects: [vs({ hosts: ['orders'], http: [{ match: [{ port: 3112 }], route: [to('read', 3100)] }] })],
    at: '3111 orders.shop',
    emits: ['default: * -> orders.shop:3111'],
  },
  {
    story: 'a route for other namespaces leaves the default route',
    objects: [vs({ hosts: ['orders'], http: [{ match: [{ sourceNamespace: 'stock' }], route: [to('read', 3100)] }] })],
    at: '3111 orders.shop',
    emits: ['default: * -> orders.shop:3111'],
  },
  {
    story: 'a route for a namespace is emitted there',
    objects: [vs({ hosts: ['orders'], http: [{ match: [{ sourceNamespace: 'stock' }], route: [to('read', 3100)] }] })],
    from: 'stock',
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100'],
  },
  {
    story: 'a route for labels is emitted to who has them',
    objects: [vs({ hosts: ['orders'], http: [{ match: [{ sourceLabels: { a: 'b' } }], route: [to('read', 3100)] }] })],
    labels: { a: 'b', c: 'd' },
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100'],
  },
  {
    story: 'a route for labels leaves the default route to others',
    objects: [vs({ hosts: ['orders'], http: [{ match: [{ sourceLabels: { a: 'b' } }], route: [to('read', 3100)] }] })],
    labels: { a: 'c' },
    at: '3111 orders.shop',
    emits: ['default: * -> orders.shop:3111'],
  },
  {
    story: 'match gateways make sourceNamespace and sourceLabels of an http match void',
    objects: [
      vs({
        hosts: ['orders'],
        http: [
          {
            match: [{ gateways: ['mesh'], sourceNamespace: 'stock', sourceLabels: { a: 'b' } }],
            route: [to('read', 3100)],
          },
        ],
      }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100'],
  },
  {
    story: 'a match for another gateway is not emitted to sidecars',
    objects: [
      vs({
        hosts: ['orders'],
        gateways: ['mesh', 'shop/edge'],
        http: [{ match: [{ gateways: ['shop/edge'] }], route: [to('read', 3100)] }],
      }),
    ],
    at: '3111 orders.shop',
    emits: ['default: * -> orders.shop:3111'],
  },
  {
    story: 'gateways without mesh keep a VirtualService from sidecars, also where a match names the mesh',
    objects: [
      vs({
        hosts: ['orders'],
        gateways: ['shop/edge'],
        http: [{ match: [{ gateways: ['mesh'] }], route: [to('read', 3100)] }],
      }),
    ],
    at: '3111 orders.shop',
    emits: ['default: * -> orders.shop:3111'],
  },
  {
    story: 'a redirect and a direct response are routes without cluster',
    objects: [
      vs({
        hosts: ['orders'],
        http: [
          { match: [{ uri: { exact: '/r' } }], redirect: { uri: '/s' } },
          { match: [{ uri: { exact: '/d' } }], directResponse: { status: 204 } },
        ],
      }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: {"path":"/r"} -> redirect', 'shop/v: {"path":"/d"} -> 204'],
  },

  // Hosts
  {
    story: 'a short host is completed with the namespace of its VirtualService',
    objects: [vs({ hosts: ['count'], http: http(`read.shop${SUFFIX}`, 3100) }, { namespace: 'stock' })],
    at: '3111 count.stock',
    emits: ['stock/v: * -> read.shop:3100'],
  },
  {
    story: 'a dotted short host is not a Service',
    objects: [vs({ hosts: ['orders.shop'], http: http('read', 3100) })],
    at: '3111 orders.shop',
    emits: ['default: * -> orders.shop:3111'],
  },
  {
    story: 'a host with a trailing dot is not a Service',
    objects: [vs({ hosts: [`${ORDERS}.`], http: http('read', 3100) })],
    at: '3111 orders.shop',
    emits: ['default: * -> orders.shop:3111'],
  },
  {
    story: 'an IP address as host is nothing',
    objects: [vs({ hosts: ['10.0.0.1'], http: http('read', 3100) })],
    at: '3111 orders.shop',
    emits: ['default: * -> orders.shop:3111'],
  },
  {
    story: 'an upper-case host works for http',
    objects: [vs({ hosts: ['Orders.Shop.svc.cluster.local'], http: http('read', 3100) })],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100'],
  },
  {
    story: 'an upper-case host does not work for tcp',
    objects: [vs({ hosts: ['DB.shop.svc.cluster.local'], tcp: [{ route: [to('replica')] }] })],
    at: '10.0.0.4_5432',
    emits: ['default -> db.shop:5432'],
  },
  {
    story: 'an upper-case host does not work for tls',
    objects: [
      vs({
        hosts: ['Secure.shop.svc.cluster.local'],
        tls: [{ match: [{ sniHosts: ['Secure.shop.svc.cluster.local'] }], route: [to('db', 5432)] }],
      }),
    ],
    at: '10.0.0.6_8443',
    emits: ['default -> secure.shop:8443'],
  },
  {
    story: 'dotted short names beside the full one do no harm',
    objects: [vs({ hosts: [ORDERS, 'orders.shop', 'orders.shop.svc'], http: http('read', 3100) })],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100'],
  },
  {
    story: 'of several hosts each has the routes of its own port',
    objects: [
      vs({
        hosts: ['orders', 'read'],
        http: [
          { match: [{ port: 3111 }], route: [to('orders', 3111)] },
          { match: [{ port: 3100 }], route: [to('read', 3100)] },
        ],
      }),
    ],
    at: '3100 read.shop',
    emits: ['shop/v: * -> read.shop:3100'],
  },
  {
    story: 'a wildcard host takes the Services under it that have no VirtualService of their own',
    objects: [
      vs({ hosts: [`*.shop${SUFFIX}`], http: http('orders', 3111) }),
      vs({ hosts: ['orders'], http: http('read', 3100) }, { name: 'exact' }),
    ],
    at: '3100 read.shop',
    emits: ['shop/v: * -> orders.shop:3111'],
  },
  {
    story: 'an exact host goes before a wildcard',
    objects: [
      vs({ hosts: [`*.shop${SUFFIX}`], http: http('orders', 3111) }),
      vs({ hosts: ['orders'], http: http('read', 3100) }, { name: 'exact' }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/exact: * -> read.shop:3100'],
  },
  {
    story: 'an exact host hides a wildcard even on a port that it does not serve',
    objects: [
      vs({ hosts: [`*.shop${SUFFIX}`], http: http('read', 3100) }),
      vs(
        { hosts: ['orders'], http: [{ match: [{ port: 9999 }], route: [to('count', 3111)] }] },
        { name: 'exact', ...created(2021) },
      ),
    ],
    at: '3111 orders.shop',
    emits: ['default: * -> orders.shop:3111'],
  },
  {
    story: 'off port 80 a host that no Service has gets no virtual host',
    objects: [vs({ hosts: ['gone.example.com'], http: http('read', 3100) })],
    at: '3111',
    emits: ['allow_any', 'count.stock:3111', 'orders.shop:3111'],
  },
  {
    story: 'on port 80 such a host gets a stray virtual host, and so does a dotted short one',
    objects: [
      service('eighty', { clusterIP: '10.0.0.80', ports: [{ name: 'http', port: 80 }] }),
      vs({ hosts: ['gone.example.com', 'orders.shop'], http: http('read', 3100) }),
    ],
    at: '80',
    emits: ['allow_any', 'eighty.shop:80', 'gone.example.com:80', 'orders.shop:80'],
  },
  {
    story: 'where one host of several has the port, the others get a stray virtual host there, be they known or not',
    objects: [vs({ hosts: ['orders', 'read', 'gone.example.com', 'orders.shop'], http: http('read', 3100) })],
    at: '3111',
    emits: [
      'allow_any',
      'count.stock:3111',
      'gone.example.com:3111',
      'orders.shop:3111',
      'orders.shop:3111',
      'read.shop:3111',
    ],
  },
  {
    story: 'of two wildcards the longer one goes first, also where it is the younger',
    objects: [
      vs({ hosts: [`*${SUFFIX}`], http: http('orders', 3111) }, { name: 'a', ...created(2021) }),
      vs({ hosts: [`*.shop${SUFFIX}`], http: http('read', 3100) }, { name: 'b', ...created(2022) }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/b: * -> read.shop:3100'],
  },
  {
    story: 'another cluster domain completes short names otherwise',
    objects: [vs({ hosts: ['orders'], http: http('read', 3100) })],
    domain: 'example.org',
    at: '3111 orders.shop.svc.example.org',
    emits: ['shop/v: * -> read.shop.svc.example.org:3100'],
  },

  // Kinds of ports
  {
    story: 'http routes on a tcp port are dropped',
    objects: [vs({ hosts: ['db'], http: http('read', 3100) })],
    at: '10.0.0.4_5432',
    emits: ['default -> db.shop:5432'],
  },
  {
    story: 'http routes on a redis port are dropped, and it is TCP like any other',
    objects: [
      service('cache', { clusterIP: '10.0.0.9', ports: [{ name: 'redis-x', port: 6379 }] }),
      vs({ hosts: ['cache'], http: http('read', 3100) }),
    ],
    at: '10.0.0.9_6379',
    emits: ['default -> cache.shop:6379'],
  },
  {
    story: 'appProtocol takes the place of the port name',
    objects: [
      service('app', { clusterIP: '10.0.0.9', ports: [{ name: 'http-x', port: 6000, appProtocol: 'tcp' }] }),
      vs({ hosts: ['app'], http: http('read', 3100) }),
    ],
    at: '10.0.0.9_6000',
    emits: ['default -> app.shop:6000'],
  },
  {
    story: 'tcp routes on an HTTP port are dropped',
    objects: [vs({ hosts: ['orders'], tcp: [{ route: [to('db', 5432)] }] })],
    at: '3111 orders.shop',
    emits: ['default: * -> orders.shop:3111'],
  },
  {
    story: 'tcp routes on a TLS port are dropped',
    objects: [vs({ hosts: ['secure'], tcp: [{ route: [to('db', 5432)] }] })],
    at: '10.0.0.6_8443',
    emits: ['default -> secure.shop:8443'],
  },
  {
    story: 'http routes work on a port of undetermined protocol, as far as the traffic is HTTP',
    objects: [vs({ hosts: ['any'], http: http('read', 3100) })],
    at: `${ANY}:7000 any.shop`,
    emits: ['shop/v: * -> read.shop:3100'],
  },
  {
    story: 'tcp routes on such a port take what is not HTTP',
    objects: [vs({ hosts: ['any'], tcp: [{ route: [to('db', 5432)] }] })],
    at: '10.0.0.7_7000',
    emits: [`http/1.1,h2c: rds ${ANY}:7000`, 'else: shop/v -> db.shop:5432'],
  },
  {
    story: 'and HTTP on it reaches the empty cluster',
    objects: [vs({ hosts: ['any'], tcp: [{ route: [to('db', 5432)] }] })],
    at: `${ANY}:7000 any.shop`,
    emits: ['default: * -> any.shop:7000'],
  },
  {
    story: 'http and tcp routes without port each take their ports',
    objects: [
      service('both', {
        clusterIP: '10.0.0.9',
        ports: [
          { name: 'http', port: 8080 },
          { name: 'tcp', port: 9000 },
        ],
      }),
      vs({ hosts: ['both'], http: http('read', 3100), tcp: [{ route: [to('db', 5432)] }] }),
    ],
    at: '10.0.0.9_9000',
    emits: ['shop/v -> db.shop:5432'],
  },
  {
    story: 'a UDP port has no listener, whatever its name',
    objects: [
      service('names', { clusterIP: '10.0.0.9', ports: [{ name: 'http-dns', port: 5300, protocol: 'UDP' }] }),
      vs({ hosts: ['names'], http: http('read', 3100) }),
    ],
    at: '0.0.0.0_5300',
    emits: undefined,
  },
  ...[15021, 15090].map((port) => ({
    story: `an HTTP port ${port} is skipped`,
    objects: [service('taken', { clusterIP: '10.0.0.9', ports: [{ name: 'http', port }] })],
    at: `0.0.0.0_${port}`,
    emits: undefined,
  })),
  ...[15001, 15006].map((port) => ({
    story: `an HTTP port ${port} is skipped as well`,
    objects: [service('taken', { clusterIP: '10.0.0.9', ports: [{ name: 'http', port }] })],
    at: `0.0.0.0_${port}`,
    emits: undefined,
  })),
  {
    story: 'an HTTP port 15020 has a listener',
    objects: [service('taken', { clusterIP: '10.0.0.9', ports: [{ name: 'http', port: 15020 }] })],
    at: '0.0.0.0_15020',
    emits: ['http/1.1,h2c: rds 15020', 'else: default -> PassthroughCluster'],
  },
  {
    story: 'a TCP port 15021 has a listener',
    objects: [service('taken', { clusterIP: '10.0.0.9', ports: [{ name: 'tcp', port: 15021 }] })],
    at: '10.0.0.9_15021',
    emits: ['default -> taken.shop:15021'],
  },

  // Destinations
  {
    story: 'an http destination without port means the port of the listener',
    objects: [vs({ hosts: ['orders'], http: http('read') })],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3111 (missing)'],
  },
  {
    story: 'a single tcp destination without port means the only port of its Service',
    objects: [vs({ hosts: ['db'], tcp: [{ route: [to('replica')] }] })],
    at: '10.0.0.4_5432',
    emits: ['shop/v -> replica.shop:5433'],
  },
  {
    story: 'an unknown port is a cluster that is missing',
    objects: [vs({ hosts: ['orders'], http: http('read', 1) })],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:1 (missing)'],
  },
  {
    story: 'a dotted short destination is a cluster that is missing',
    objects: [vs({ hosts: ['orders'], http: http('read.shop', 3100) })],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> outbound|3100||read.shop (missing)'],
  },
  {
    story: 'an upper-case destination is a cluster that is missing',
    objects: [vs({ hosts: ['orders'], http: http('Read', 3100) })],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> Read.shop:3100 (missing)'],
  },
  {
    story: 'an unknown subset is a cluster that is missing',
    objects: [vs({ hosts: ['orders'], http: [{ route: [to('read', 3100, { subset: 'a' })] }] })],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100/a (missing)'],
  },
  {
    story: 'a destination of weight 0 beside others is dropped',
    objects: [
      vs({
        hosts: ['orders'],
        http: [
          {
            route: [
              { ...to('read', 3100), weight: 60 },
              { ...to('orders', 3111), weight: 40 },
              { ...to('gone', 1), weight: 0 },
            ],
          },
        ],
      }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> 60 read.shop:3100, 40 orders.shop:3111'],
  },
  {
    story: 'a mirror of 0 % is dropped, one without percentage has all',
    objects: [
      vs({
        hosts: ['orders'],
        http: [
          {
            route: [to('read', 3100)],
            mirrors: [{ ...to('gone', 1), percentage: { value: 0 } }, { ...to('count', 3111) }],
          },
        ],
      }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100, mirrored to 100 % count.shop:3111 (missing)'],
  },
  {
    story: 'VirtualServices do not chain',
    objects: [
      vs({ hosts: ['orders'], http: http('read', 3100) }),
      vs({ hosts: ['read'], http: http('count.stock.svc.cluster.local', 3111) }, { name: 'next' }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100'],
  },

  // Subsets
  {
    story: 'a subset is taken from a DestinationRule of the namespace of its Service',
    objects: [
      vs({ hosts: ['orders'], http: [{ route: [to('read', 3100, { subset: 'a' })] }] }),
      istio('DestinationRule', 'd', { host: 'read', subsets: [{ name: 'a', labels: { v: 'a' } }] }),
    ],
    from: 'stock',
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100/a'],
  },
  {
    story: 'a DestinationRule of the client hides the one of the Service',
    objects: [
      vs({ hosts: ['orders'], http: [{ route: [to('read', 3100, { subset: 'a' })] }] }),
      istio('DestinationRule', 'd', { host: 'read', subsets: [{ name: 'a', labels: { v: 'a' } }] }),
      istio('DestinationRule', 'd', { host: `read.shop${SUFFIX}` }, { namespace: 'stock' }),
    ],
    from: 'stock',
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100/a (missing)'],
  },
  {
    story: 'a private DestinationRule adds no subset for others',
    objects: [
      vs({ hosts: ['orders'], http: [{ route: [to('read', 3100, { subset: 'a' })] }] }),
      istio('DestinationRule', 'd', { host: 'read', exportTo: ['.'], subsets: [{ name: 'a', labels: { v: 'a' } }] }),
    ],
    from: 'stock',
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100/a (missing)'],
  },
  {
    story: 'one with a workloadSelector adds no subset for others',
    objects: [
      vs({ hosts: ['orders'], http: [{ route: [to('read', 3100, { subset: 'a' })] }] }),
      istio('DestinationRule', 'd', {
        host: 'read',
        workloadSelector: { matchLabels: { only: 'me' } },
        subsets: [{ name: 'a', labels: { v: 'a' } }],
      }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100/a (missing)'],
  },
  {
    story: 'a DestinationRule of the root namespace comes last',
    objects: [
      vs({ hosts: ['orders'], http: [{ route: [to('read', 3100, { subset: 'a' })] }] }),
      istio(
        'DestinationRule',
        'd',
        { host: `read.shop${SUFFIX}`, subsets: [{ name: 'a', labels: { v: 'a' } }] },
        { namespace: 'root' },
      ),
    ],
    mesh: { rootNamespace: 'root' },
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100/a'],
  },
  {
    story: 'an upper-case host of a DestinationRule is no host',
    objects: [
      vs({ hosts: ['orders'], http: [{ route: [to('read', 3100, { subset: 'a' })] }] }),
      istio('DestinationRule', 'd', { host: 'Read', subsets: [{ name: 'a', labels: { v: 'a' } }] }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100/a (missing)'],
  },

  {
    story: 'a DestinationRule for a wildcard adds its subsets to what no other one names',
    objects: [
      vs({ hosts: ['orders'], http: [{ route: [to('read', 3100, { subset: 'a' })] }] }),
      istio('DestinationRule', 'd', { host: `*.shop${SUFFIX}`, subsets: [{ name: 'a' }] }),
      istio('DestinationRule', 'e', { host: 'read.shop' }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100/a'],
  },
  {
    story: 'an exact DestinationRule hides the wildcard one',
    objects: [
      vs({ hosts: ['orders'], http: [{ route: [to('read', 3100, { subset: 'a' })] }] }),
      istio('DestinationRule', 'd', { host: `*.shop${SUFFIX}`, subsets: [{ name: 'a' }] }),
      istio('DestinationRule', 'e', { host: 'read' }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100/a (missing)'],
  },
  {
    story: 'two DestinationRules of a namespace for one host add up',
    objects: [
      vs({ hosts: ['orders'], http: [{ route: [to('read', 3100, { subset: 'b' })] }] }),
      istio('DestinationRule', 'd', { host: 'read', subsets: [{ name: 'a' }] }),
      istio('DestinationRule', 'e', { host: 'read', subsets: [{ name: 'b' }] }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> read.shop:3100/b'],
  },

  // Duplicate hosts and visibility
  {
    story: 'of two VirtualServices of a host the oldest is emitted',
    objects: [
      vs({ hosts: ['orders'], http: http('read', 3100) }, { name: 'a', ...created(2022) }),
      vs({ hosts: ['orders'], http: http('orders', 3111) }, { name: 'b', ...created(2021) }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/b: * -> orders.shop:3111'],
  },
  {
    story: 'of two of the same age the first by name',
    objects: [
      vs({ hosts: ['orders'], http: http('read', 3100) }, { name: 'b' }),
      vs({ hosts: ['orders'], http: http('orders', 3111) }, { name: 'a' }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/a: * -> orders.shop:3111'],
  },
  {
    story: 'one without a route for this client leaves the host to the next',
    objects: [
      vs(
        { hosts: ['orders'], http: [{ match: [{ sourceNamespace: 'stock' }], route: [to('read', 3100)] }] },
        { name: 'a', ...created(2021) },
      ),
      vs({ hosts: ['orders'], http: http('orders', 3111) }, { name: 'b', ...created(2022) }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/b: * -> orders.shop:3111'],
  },
  {
    story: 'a private one of the namespace of the client goes before an older public one',
    objects: [
      vs({ hosts: ['orders'], http: http('read', 3100) }, { name: 'public', ...created(2021) }),
      vs({ hosts: ['orders'], exportTo: ['.'], http: http('orders', 3111) }, { name: 'private', ...created(2022) }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/private: * -> orders.shop:3111'],
  },
  {
    story: 'a private VirtualService is not emitted to another namespace',
    objects: [vs({ hosts: ['orders'], exportTo: ['.'], http: http('read', 3100) })],
    from: 'stock',
    at: '3111 orders.shop',
    emits: ['default: * -> orders.shop:3111'],
  },
  {
    story: 'exportTo has a default in MeshConfig',
    objects: [vs({ hosts: ['orders'], http: http('read', 3100) })],
    mesh: { defaultVirtualServiceExportTo: ['.'] },
    from: 'stock',
    at: '3111 orders.shop',
    emits: ['default: * -> orders.shop:3111'],
  },
  ...['.', '~'].map((exportTo) => ({
    story: `a Service with exportTo ${exportTo} has no virtual host in another namespace`,
    objects: [
      service('hidden', { clusterIP: '10.0.0.9' }, { annotations: { 'networking.istio.io/exportTo': exportTo } }),
      vs({ hosts: ['hidden'], http: http('read', 3100) }),
    ],
    from: 'stock',
    at: '3111 hidden.shop',
    emits: undefined,
  })),
  {
    story: 'a destination that is not exported to the client is missing',
    objects: [
      service('hidden', { clusterIP: '10.0.0.9' }, { annotations: { 'networking.istio.io/exportTo': '.' } }),
      vs({ hosts: ['orders'], http: http('hidden', 3111) }),
    ],
    from: 'stock',
    at: '3111 orders.shop',
    emits: ['shop/v: * -> hidden.shop:3111 (missing)'],
  },

  // Delegates
  {
    story: 'a delegate takes the match of its root and adds its own',
    objects: [
      vs({ hosts: ['orders'], http: [{ match: [{ uri: { prefix: '/a' } }], delegate: { name: 'd' } }] }),
      vs({ http: [{ match: [{ uri: { prefix: '/a/b' } }], route: [to('read', 3100)] }] }, { name: 'd' }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: {"prefix":"/a/b"} -> read.shop:3100'],
  },
  {
    story: 'a short destination of a delegate is completed with the namespace of the delegate',
    objects: [
      vs({ hosts: ['orders'], http: [{ delegate: { name: 'd', namespace: 'stock' } }] }),
      vs({ http: http('count', 3111) }, { name: 'd', namespace: 'stock' }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> count.stock:3111'],
  },
  {
    story: 'a delegate that is not exported to its root is ignored',
    objects: [
      vs({ hosts: ['orders'], http: [{ delegate: { name: 'd', namespace: 'stock' } }] }),
      vs({ exportTo: ['.'], http: http('count', 3111) }, { name: 'd', namespace: 'stock' }),
    ],
    at: '3111 orders.shop',
    emits: ['default: * -> orders.shop:3111'],
  },
  {
    story: 'a delegate with hosts is ignored',
    objects: [
      vs({ hosts: ['orders'], http: [{ delegate: { name: 'd' } }] }),
      vs({ hosts: ['read'], http: http('read', 3100) }, { name: 'd' }),
    ],
    at: '3111 orders.shop',
    emits: ['default: * -> orders.shop:3111'],
  },
  {
    story: 'a delegate whose match contradicts that of its root is gone',
    objects: [
      vs({
        hosts: ['orders'],
        http: [{ match: [{ uri: { prefix: '/a' } }], delegate: { name: 'd' } }, ...http('orders', 3111)],
      }),
      vs({ http: [{ match: [{ uri: { prefix: '/b' } }], route: [to('read', 3100)] }] }, { name: 'd' }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> orders.shop:3111'],
  },

  // tcp and tls routes
  {
    story: 'a tls route has its own filter chain, and hides the default one',
    objects: [vs({ hosts: [SECURE], tls: [{ match: [{ sniHosts: [SECURE] }], route: [to('db', 5432)] }] })],
    at: '10.0.0.6_8443',
    emits: [`sni ${SECURE}: shop/v -> db.shop:5432`, 'else: default -> PassthroughCluster'],
  },
  {
    story: 'tls routes of all VirtualServices of a host add up',
    objects: [
      vs({ hosts: [SECURE], tls: [{ match: [{ sniHosts: [SECURE] }], route: [to('db', 5432)] }] }),
      vs(
        {
          hosts: [`*.shop${SUFFIX}`],
          tls: [{ match: [{ sniHosts: [`x.shop${SUFFIX}`] }], route: [to('replica', 5433)] }],
        },
        { name: 'w' },
      ),
    ],
    at: '10.0.0.6_8443',
    emits: [
      `sni ${SECURE}: shop/v -> db.shop:5432`,
      `sni x.shop${SUFFIX}: shop/w -> replica.shop:5433`,
      'else: default -> PassthroughCluster',
    ],
  },
  {
    story: 'for tcp an exact host does not go before a wildcard: the oldest does',
    objects: [
      vs({ hosts: [`*.shop${SUFFIX}`], tcp: [{ route: [to('replica')] }] }, { name: 'a', ...created(2021) }),
      vs({ hosts: ['db'], tcp: [{ route: [to('read')] }] }, { name: 'b', ...created(2022) }),
    ],
    at: '10.0.0.4_5432',
    emits: ['shop/a -> replica.shop:5433'],
  },
  {
    story: 'match gateways make nothing void in a tcp match',
    objects: [
      vs({
        hosts: ['db'],
        tcp: [{ match: [{ gateways: ['mesh'], sourceNamespace: 'stock' }], route: [to('replica')] }],
      }),
    ],
    at: '10.0.0.4_5432',
    emits: ['default -> db.shop:5432'],
  },
  {
    story: 'each of several tcp destinations without port means the only port of its Service, and weight 0 is dropped',
    objects: [
      vs({
        hosts: ['db'],
        tcp: [
          {
            route: [
              { ...to('replica'), weight: 50 },
              { ...to('read'), weight: 50 },
              { ...to('gone'), weight: 0 },
            ],
          },
        ],
      }),
    ],
    at: '10.0.0.4_5432',
    emits: ['shop/v -> 50 replica.shop:5433, 50 read.shop:3100'],
  },
  {
    story: 'tcp routes of a newer VirtualService apply where the oldest has none for the client',
    objects: [
      vs(
        { hosts: ['db'], tcp: [{ match: [{ sourceNamespace: 'stock' }], route: [to('read', 3100)] }] },
        { name: 'a', ...created(2021) },
      ),
      vs({ hosts: ['db'], tcp: [{ route: [to('replica', 5433)] }] }, { name: 'b', ...created(2022) }),
    ],
    at: '10.0.0.4_5432',
    emits: ['shop/b -> replica.shop:5433'],
  },

  // Other kinds of Services
  {
    story: 'an ExternalName Service as http destination means its target',
    objects: [
      service('alias', { type: 'ExternalName', externalName: `count.stock${SUFFIX}` }),
      vs({ hosts: ['orders'], http: http('alias', 3111) }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> count.stock:3111'],
  },
  {
    story: 'without the port of the listener it is a cluster that is missing',
    objects: [
      service('alias', {
        type: 'ExternalName',
        externalName: `count.stock${SUFFIX}`,
        ports: [{ name: 'http', port: 4000 }],
      }),
      vs({ hosts: ['orders'], http: http('alias', 3111) }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> alias.shop:3111 (missing)'],
  },
  {
    story: 'a headless Service has virtual hosts like any other',
    objects: [
      service('set', { clusterIP: 'None', selector: { a: 'b' } }),
      vs({ hosts: ['set'], http: http('read', 3100) }),
    ],
    at: '3111 set.shop',
    emits: ['shop/v: * -> read.shop:3100'],
  },
  ...['tcp', 'web'].map((name) => ({
    story: `a headless Service without endpoints has no listener on its ${name} port`,
    objects: [service('set', { clusterIP: 'None', selector: { a: 'b' }, ports: [{ name, port: 9000 }] })],
    at: '0.0.0.0_9000',
    emits: undefined,
  })),
  {
    story: 'a TCP ServiceEntry without address shares the listener of an HTTP port',
    objects: [
      istio('ServiceEntry', 'e', {
        hosts: ['pay.example.com'],
        ports: [{ number: 3111, name: 'tcp', protocol: 'TCP' }],
        resolution: 'DNS',
      }),
    ],
    at: '0.0.0.0_3111',
    emits: ['http/1.1,h2c: rds 3111', 'else: default -> pay.example.com:3111'],
  },
  {
    story: 'a ServiceEntry is a host and a destination',
    objects: [
      istio('ServiceEntry', 'e', {
        hosts: ['pay.example.com'],
        ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
        resolution: 'DNS',
      }),
      vs({ hosts: ['pay.example.com'], http: http('pay.example.com', 8080) }),
    ],
    at: '8080 pay.example.com',
    emits: ['shop/v: * -> pay.example.com:8080'],
  },
  {
    story: 'a ServiceEntry with a host of two labels makes the dotted name good',
    objects: [
      istio('ServiceEntry', 'e', {
        hosts: ['orders.shop'],
        ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
        resolution: 'DNS',
      }),
      vs({ hosts: ['orders.shop'], http: http('orders.shop', 8080) }),
    ],
    at: '8080 orders.shop',
    emits: ['shop/v: * -> outbound|8080||orders.shop'],
  },
  {
    story: 'a host covered by a wildcard ServiceEntry only is ignored',
    objects: [
      istio('ServiceEntry', 'e', {
        hosts: ['*.example.com'],
        ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
      }),
      vs({ hosts: ['pay.example.com'], http: http('read', 3100) }),
    ],
    at: '8080',
    emits: ['*.example.com:8080', 'allow_any'],
  },
  {
    story: 'a destination covered so is missing',
    objects: [
      istio('ServiceEntry', 'e', {
        hosts: ['*.example.com'],
        ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
      }),
      vs({ hosts: ['orders'], http: http('pay.example.com', 8080) }),
    ],
    at: '3111 orders.shop',
    emits: ['shop/v: * -> pay.example.com:8080 (missing)'],
  },
]

/** Clusters as `name.namespace:port/subset`, other names as they are. */
const clusterText = (emitted: Emitted, { name, weight }: WeightedCluster): string => {
  const [, port, subset, host] = name.split('|')
  const known = host === undefined || emitted.clusters.some((cluster) => cluster.name === name)
  // The dotted short name would look like the Service that it is not.
  const text =
    host === undefined || host.split('.').length === 2
      ? name
      : `${host.replace(SUFFIX, '')}:${port}${subset ? `/${subset}` : ''}`
  return `${weight === 100 ? '' : `${weight} `}${text}${known ? '' : ' (missing)'}`
}

const at = (emitted: Emitted, place: string): string[] | undefined => {
  const [first = '', host] = place.split(' ')
  const clusters = (list: WeightedCluster[]) => list.map((cluster) => clusterText(emitted, cluster)).join(', ')
  const virtualHosts = emitted.routes[first]
  if (host !== undefined) {
    const names = [host, `${host}${SUFFIX}`].map((name) => `${name}:${first.split(':').at(-1)}`)
    return virtualHosts
      ?.find(({ name }) => names.includes(name))
      ?.routes.map(({ config, match, clusters: targets, mirrors, redirect, directResponse }) => {
        const { caseSensitive: _, ...rest } = match
        const conditions = JSON.stringify(rest)
        const action = redirect ? 'redirect' : (directResponse ?? clusters(targets))
        const copies = mirrors?.map(
          ({ name, percent }) => `${percent} % ${clusterText(emitted, { name, weight: 100 })}`,
        )
        return `${config || 'default'}: ${conditions === '{"prefix":"/"}' ? '*' : conditions} -> ${action}${
          copies.length === 0 ? '' : `, mirrored to ${copies}`
        }`
      })
  }
  if (virtualHosts !== undefined) return virtualHosts.map(({ name }) => name.replace(SUFFIX, ''))
  const listener = emitted.listeners.find(({ name }) => name === first)
  if (listener === undefined) return undefined
  const chains = [...listener.chains, ...(listener.default === undefined ? [] : [listener.default])]
  return chains.map((chain) => {
    const { serverNames, applicationProtocols } = chain.match
    const conditions =
      chain === listener.default
        ? 'else: '
        : serverNames !== undefined
          ? `sni ${serverNames}: `
          : applicationProtocols !== undefined
            ? `${applicationProtocols}: `
            : ''
    return chain.rds !== undefined
      ? `${conditions}rds ${chain.rds}`
      : `${conditions}${chain.config ?? 'default'} -> ${clusters(chain.tcp ?? [])}`
  })
}

await testWithOracle('what is emitted', async (t, oracle) => {
  const answers = await oracle.ask(
    rows.map(({ story, objects, from = 'shop', labels, mesh, domain }) => ({
      id: story,
      objects: [...world, ...objects],
      clients: [{ namespace: from, ...(labels === undefined ? {} : { labels }) }],
      ...(mesh === undefined ? {} : { mesh }),
      ...(domain === undefined ? {} : { domain }),
    })),
  )
  for (const [index, { story, at: place, emits }] of rows.entries()) {
    const emitted = answers[index]?.clients[0]
    t.strictSame(emitted && at(emitted, place), emits, story)
    t.strictSame(answers[index]?.refused, [], `a cluster may hold it: ${story}`)
  }
})

await testWithOracle('which names a virtual host answers to', async (t, oracle) => {
  const [answer] = await oracle.ask([
    {
      id: 'domains',
      objects: [
        ...world,
        service('same', { clusterIP: '10.0.0.9' }),
        vs({ hosts: ['orders', 'read', 'same.shop'], http: http('read', 3100) }),
      ],
      clients: [{ namespace: 'shop' }, { namespace: 'stock' }],
    },
  ])
  const domains = (client: number, name: string) =>
    answer?.clients[client]?.routes['3111']?.find((host) => host.name === name)?.domains
  const names = [ORDERS, `${ORDERS}.`, 'orders', 'orders.shop.svc', 'orders.shop', '10.0.0.1']
  t.strictSame(domains(0, `${ORDERS}:3111`), names, 'short names in the namespace of the Service')
  t.strictSame(
    domains(1, `${ORDERS}:3111`)?.sort(),
    names.filter((name) => name !== 'orders').sort(),
    'none of one label in another namespace',
  )
  t.strictSame(domains(0, `read.shop${SUFFIX}:3111`), [`read.shop${SUFFIX}`], 'a stray one to its literal name only')
  t.strictSame(domains(0, 'same.shop:3111'), ['same.shop'])
  t.notOk(domains(0, `same.shop${SUFFIX}:3111`)?.includes('same.shop'), 'which it takes from the Service of that name')
})

await testWithOracle('where a request goes', async (t, oracle) => {
  const [answer] = await oracle.ask([
    {
      id: 'calls',
      objects: [
        ...world,
        vs({ hosts: ['orders'], http: [{ match: [{ uri: { prefix: '/a' } }], route: [to('read', 1)] }] }),
      ],
      clients: [{ namespace: 'shop' }, { namespace: 'stock' }],
      calls: [
        { client: 0, address: '10.0.0.1', port: 3111, protocol: 'http', host: 'orders', path: '/a' },
        { client: 0, address: '10.0.0.1', port: 3111, protocol: 'http', host: 'orders', path: '/b' },
        { client: 1, address: '10.0.0.1', port: 3111, protocol: 'http', host: 'orders' },
        { client: 0, address: '10.0.0.4', port: 5432, protocol: 'tcp' },
        { client: 0, address: '10.0.0.6', port: 8443, protocol: 'tls', sni: SECURE },
      ],
    },
  ])
  const rds = { listener: '0.0.0.0_3111', routeConfig: '3111' }
  t.strictSame(answer?.calls, [
    { ...rds, virtualHost: `${ORDERS}:3111`, cluster: `outbound|1||read.shop${SUFFIX}`, missing: true },
    { ...rds, virtualHost: `${ORDERS}:3111`, error: 'no route matched' },
    { ...rds, virtualHost: 'allow_any', route: 'allow_any', cluster: 'PassthroughCluster' },
    { listener: '10.0.0.4_5432', cluster: `outbound|5432||${DB}` },
    { listener: '10.0.0.6_8443', cluster: `outbound|8443||${SECURE}` },
  ])
})

await testWithOracle('what istiod would refuse is said, and what it would warn of', async (t, oracle) => {
  const twice = vs({ hosts: ['orders'], http: [...http('read', 3100), ...http('orders', 3111)] })
  const [refused, warned] = await oracle.ask([
    { id: 'refused', objects: [vs({ hosts: ['orders'] })], clients: [{ namespace: 'shop' }] },
    { id: 'warned', objects: [twice], clients: [{ namespace: 'shop' }] },
  ])
  t.match(refused?.refused, [/^VirtualService shop\/v: .*http, tcp or tls/])
  t.match(warned, { refused: [], warned: [/^VirtualService shop\/v: .*only the last rule can have no matches/] })
})

await testWithOracle('a case that cannot be answered is told of, and the next one is answered', async (t, oracle) => {
  const good = { id: 'good', objects: world, clients: [{ namespace: 'shop' }] }
  const bad = { ...good, id: 'bad', objects: [{ apiVersion: 'v7', kind: 'Unknown' }] }
  await t.rejects(oracle.ask([bad, good]), /cannot answer case bad: Unknown/)
  t.equal((await oracle.ask([good])).length, 1)
})

await t.test('a program that is silent, or that ends, is told of', async (t) => {
  const question = { id: 'lost', objects: [], clients: [] }
  for (const [program, says] of [
    ['/bin/sh', /gave no answer within 200 ms at case lost/],
    ['/bin/false', /exited with 1 at case lost/],
    ['/nonexistent/oracle', /could not be started.*ENOENT/],
  ] as const) {
    const broken = startOracle(program, { answerMs: 200 })
    await t.rejects(broken.ask([question]), says)
    await t.rejects(broken.ask([question]), says, 'and stays so')
    await broken.close()
  }
})

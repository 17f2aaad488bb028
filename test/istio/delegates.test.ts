import t from 'tap'
import { formatName } from '../../src/api/metadata.ts'
import { parseVirtualService, type Route } from '../../src/api/virtual-service.ts'
import { fieldInDelegate, withDelegates } from '../../src/istio/delegates.ts'
import { resolveShortName } from '../../src/istio/hosts.ts'

const virtualService = (name: string, spec: object, namespace = 'shop') =>
  parseVirtualService({ metadata: { namespace, name }, spec })

const to = (host: string) => [{ destination: { host } }]

/** The routes of orders with one route for the delegate, as they are merged with that of the delegate. */
const merged = (route: object, ...routes: object[]) => mergedWith(route, { http: routes })

const mergedWith = (route: object, spec: object, delegate: object = { name: 'routes' }, namespace = 'shop') => {
  const root = virtualService('orders', { hosts: ['orders'], http: [{ ...route, delegate }] })
  const leaf = virtualService('routes', spec, namespace)
  return withDelegates(
    root,
    (name) => (formatName(name) === formatName(leaf) ? leaf : undefined),
    (home) => (host) => resolveShortName(host, home, 'cluster.local'),
  )
}

t.test('a VirtualService without delegates has its own routes', async (t) => {
  const root = virtualService('orders', { hosts: ['orders'], http: [{ route: to('a') }] })
  const { routes, delegations } = withDelegates(
    root,
    () => undefined,
    () => (host) => host,
  )
  t.equal(routes, root.routes)
  t.strictSame(delegations, [])
})

t.test('the routes of a delegate take the place of the one that names it, and say where they are from', async (t) => {
  const root = virtualService('orders', {
    hosts: ['orders'],
    http: [{ route: to('first') }, { delegate: { name: 'routes', namespace: 'stock' } }, { route: to('last') }],
  })
  const leaf = virtualService(
    'routes',
    { http: [{ route: to('a') }, { match: [{ port: 1 }], route: to('b.c') }] },
    'stock',
  )
  const { routes, delegations } = withDelegates(
    root,
    () => leaf,
    (home) => (host) => resolveShortName(host, home, 'cluster.local'),
  )
  t.strictSame(
    routes.map(({ field, destinations }) => [field, ...destinations.map(({ host }) => host)]),
    [
      ['spec.http[0]', 'first'],
      ['spec.http[1].delegate (stock/routes: spec.http[0])', 'a.stock.svc.cluster.local'],
      ['spec.http[1].delegate (stock/routes: spec.http[1])', 'b.c'],
      ['spec.http[2]', 'last'],
    ],
    'short names are resolved where they stand',
  )
  const told = routes.flatMap(({ destinations, matches }) => [...destinations, ...matches].map(({ field }) => field))
  t.strictSame(
    told.map((field) => fieldInDelegate(field, leaf)),
    [
      undefined,
      'spec.http[0].route[0].destination',
      'spec.http[1].route[0].destination',
      'spec.http[1].match[0]',
      undefined,
    ],
  )
  t.equal(fieldInDelegate(`${told[1]}.host`, leaf), 'spec.http[0].route[0].destination.host')
  t.equal(fieldInDelegate(told[1] ?? '', { namespace: 'shop', name: 'routes' }), undefined)
  t.strictSame(delegations, [])
})

t.test('what becomes of a delegate that is not there, not exported or none', async (t) => {
  const kinds = ({ delegations, routes }: ReturnType<typeof merged>) => [
    delegations.map(({ kind, delegate }) => `${kind} ${formatName(delegate)}`),
    routes.length,
  ]
  t.strictSame(kinds(mergedWith({}, {}, { name: 'other' })), [['missing shop/other'], 0])
  t.strictSame(kinds(mergedWith({}, {}, { name: 'routes', namespace: 'stock' })), [['missing stock/routes'], 0])
  t.strictSame(kinds(mergedWith({}, { hosts: ['a'], http: [{}] })), [['hosts shop/routes'], 0])
  const stock = { name: 'routes', namespace: 'stock' }
  t.strictSame(kinds(mergedWith({}, { exportTo: ['.'], http: [{}] }, stock, 'stock')), [['hidden stock/routes'], 0])
  t.strictSame(kinds(mergedWith({}, { exportTo: ['shop'], http: [{}] }, stock, 'stock')), [[], 1])
  t.strictSame(kinds(mergedWith({}, { exportTo: ['.'], http: [{}] })), [[], 1])
})

t.test('what a delegate leaves out is its root’s', async (t) => {
  const [route] = merged(
    { name: 'root', mirror: { host: 'copy' }, redirect: { uri: '/' } },
    { name: 'leaf', route: to('a') },
  ).routes as [Route]
  t.equal(route.name, 'root-leaf')
  t.strictSame(
    route.mirrors.map(({ host, field }) => [host, field]),
    [['copy', 'spec.http[0].mirror']],
  )
  t.equal(route.answers, true)
  const [own] = merged({ mirror: { host: 'copy' } }, { name: 'leaf', mirror: { host: 'mine.too' } }).routes as [Route]
  t.equal(own.name, 'leaf')
  t.strictSame(
    own.mirrors.map(({ host }) => host),
    ['mine.too'],
  )
  t.equal(merged({ name: 'root' }, {}).routes[0]?.name, 'root')
})

t.test('only the http routes of a delegate count', async (t) => {
  t.equal(mergedWith({}, { http: [{}], tcp: [{ route: to('a') }], tls: [{ route: to('a') }] }).routes.length, 1)
})

t.test('each match of a delegate is put together with each of the root that it fits', async (t) => {
  const matches = (root: object[], leaf: object[]) =>
    merged({ match: root }, { match: leaf }).routes.flatMap((route) =>
      route.matches.map(({ field, isCatchAll, sourceLabels, conditions, ...rest }) => ({
        ...rest,
        sourceLabels: Object.fromEntries(sourceLabels),
        ...JSON.parse(conditions),
      })),
    )
  const plain = { name: '', port: undefined, gateways: [], sourceNamespace: '', sourceLabels: {} }
  t.strictSame(matches([], [{ port: 1 }]), [{ ...plain, port: 1 }])
  t.strictSame(matches([{ port: 1 }], []), [{ ...plain, port: 1 }])
  t.strictSame(matches([{ port: 1 }, { port: 2 }], [{ port: 2, name: 'b' }]), [{ ...plain, name: 'b', port: 2 }])
  t.strictSame(matches([{ port: 1 }, { port: 2 }], [{ uri: { exact: '/a' } }]), [
    { ...plain, port: 1, uri: { exact: '/a' } },
    { ...plain, port: 2, uri: { exact: '/a' } },
  ])
  t.strictSame(
    matches(
      [
        {
          name: 'root',
          gateways: ['mesh'],
          sourceNamespace: 'shop',
          sourceLabels: { app: 'a' },
          headers: { a: { exact: '1' } },
          withoutHeaders: { d: { exact: '4' } },
          queryParams: { q: { exact: '1' } },
          uri: { prefix: '/a' },
        },
      ],
      [
        {
          name: 'leaf',
          sourceNamespace: 'shop',
          sourceLabels: { version: 'v1' },
          headers: { b: { exact: '2' } },
          withoutHeaders: { c: { exact: '3' } },
          queryParams: { r: { exact: '2' } },
          uri: { prefix: '/a/b' },
        },
      ],
    ),
    [
      {
        ...plain,
        name: 'root-leaf',
        gateways: ['mesh'],
        sourceNamespace: 'shop',
        sourceLabels: { app: 'a', version: 'v1' },
        headers: { a: { exact: '1' }, b: { exact: '2' } },
        withoutHeaders: { c: { exact: '3' }, d: { exact: '4' } },
        queryParams: { q: { exact: '1' }, r: { exact: '2' } },
        uri: { prefix: '/a/b' },
      },
    ],
  )
  t.equal(
    merged({ match: [{ port: 1 }] }, { match: [{ uri: { prefix: '/' } }] }).routes[0]?.matches[0]?.isCatchAll,
    true,
  )
})

t.test('which matches of a delegate contradict the root’s', async (t) => {
  const isLost = (root: object, leaf: object): boolean => {
    const { routes, delegations } = merged({ match: [root] }, { match: [leaf] })
    t.equal(routes.length + delegations.length, 1, 'a route is merged, or told')
    return delegations.length > 0
  }
  const text = (value: object) => ({ uri: value })
  const rows: [story: string, root: object, leaf: object, lost: boolean][] = [
    ['nothing and anything', {}, { ...text({ exact: '/a' }), port: 1, method: { exact: 'GET' } }, false],
    ['a path under the prefix', text({ prefix: '/a' }), text({ prefix: '/a/b' }), false],
    ['a whole path under the prefix', text({ prefix: '/a' }), text({ exact: '/a/b' }), false],
    ['a path beside the prefix', text({ prefix: '/a' }), text({ prefix: '/b' }), true],
    ['a path above the prefix', text({ prefix: '/a/b' }), text({ prefix: '/a' }), true],
    ['the same whole path', text({ exact: '/a' }), text({ exact: '/a' }), false],
    ['another whole path', text({ exact: '/a' }), text({ exact: '/b' }), true],
    ['a prefix of the whole path', text({ exact: '/a' }), text({ prefix: '/a' }), true],
    ['an expression within anything', text({ prefix: '/a' }), text({ regex: '/a.*' }), true],
    ['anything within an expression', text({ regex: '/a.*' }), text({ exact: '/a' }), true],
    ['an expression within an expression', text({ regex: '/a.*' }), text({ regex: '/a.*' }), true],
    ['an expression within a prefix', text({ prefix: '/a' }), text({ regex: '/a.*' }), true],
    ['a prefix within an expression', text({ regex: '/a.*' }), text({ prefix: '/a' }), true],
    ['an expression within a whole path', text({ exact: '/a' }), text({ regex: '/a.*' }), true],
    ['an expression within an empty text', text({}), text({ regex: '/a.*' }), true],
    ['an empty text within a prefix', text({ prefix: '/a' }), text({}), true],
    ['another method', { method: { exact: 'GET' } }, { method: { exact: 'PUT' } }, true],
    ['another scheme', { scheme: { exact: 'http' } }, { scheme: { exact: 'https' } }, true],
    ['another authority', { authority: { exact: 'a' } }, { authority: { exact: 'b' } }, true],
    ['another header', { headers: { a: { exact: '1' } } }, { headers: { b: { exact: '1' } } }, false],
    ['another value of a header', { headers: { a: { exact: '1' } } }, { headers: { a: { exact: '2' } } }, true],
    ['headers on one side only', { headers: { a: { exact: '1' } } }, {}, false],
    [
      'another value that a header must not have',
      { withoutHeaders: { a: { exact: '1' } } },
      { withoutHeaders: { a: { exact: '2' } } },
      true,
    ],
    ['another query', { queryParams: { a: { exact: '1' } } }, { queryParams: { a: { exact: '2' } } }, true],
    ['the case of the path read over by one', { ignoreUriCase: true }, {}, true],
    ['or by both', { ignoreUriCase: true }, { ignoreUriCase: true }, false],
    ['another port', { port: 1 }, { port: 2 }, true],
    ['the same port', { port: 1 }, { port: 1 }, false],
    ['another namespace', { sourceNamespace: 'a' }, { sourceNamespace: 'b' }, true],
    ['any namespace within one', { sourceNamespace: 'a' }, {}, true],
    ['one namespace of any', {}, { sourceNamespace: 'b' }, false],
    ['another label', { sourceLabels: { app: 'a' } }, { sourceLabels: { version: 'a' } }, false],
    ['another value of a label', { sourceLabels: { app: 'a' } }, { sourceLabels: { app: 'b' } }, true],
    ['another gateway', { gateways: ['mesh'] }, { gateways: ['public'] }, true],
    ['the same gateways in another order', { gateways: ['mesh', 'public'] }, { gateways: ['public', 'mesh'] }, false],
    ['one of the gateways', { gateways: ['mesh', 'public'] }, { gateways: ['mesh'] }, false],
    ['a gateway named twice', { gateways: ['mesh'] }, { gateways: ['mesh', 'mesh'] }, true],
    ['one gateway of any', {}, { gateways: ['mesh'] }, false],
    ['any gateway within one', { gateways: ['mesh'] }, {}, false],
  ]
  for (const [story, root, leaf, lost] of rows) t.equal(isLost(root, leaf), lost, story)
})

t.test('a route of which one match contradicts the root’s is left out, and the others stay', async (t) => {
  const { routes, delegations } = merged(
    { match: [{ port: 1 }] },
    { match: [{ port: 1 }, { port: 2 }] },
    { match: [{ port: 1 }] },
  )
  t.strictSame(
    routes.map(({ field }) => field),
    ['spec.http[0].delegate (shop/routes: spec.http[1])'],
  )
  t.match(delegations, [{ kind: 'conflict', field: 'spec.http[0]', routes: ['spec.http[0]'] }])
})

import fc from 'fast-check'
import t from 'tap'
import { parseVirtualService } from '../../src/api/virtual-service.ts'
import { type Circumstances, judgeVirtualService, type Outcome } from '../../src/rules/judge.ts'
import { warningText } from '../../src/rules/message.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { circumstancesIn } from '../support/circumstances.ts'
import {
  destinationRule,
  endpointSlice,
  entryFor,
  meshNamespace,
  service,
  serviceEntry,
  storeOf,
  virtualService,
} from '../support/objects.ts'

const host = (name: string, namespace = 'shop') => `${name}.${namespace}.svc.cluster.local`
const [orders, read] = [host('orders'), host('read')]
const http = (port: number, name = 'http') => ({ name: `${name}-${port}`, port })
const selecting = { selector: { app: 'a' } }
const destination = (name: string, port: number, rest: object = {}) => ({
  destination: { host: name, port: { number: port }, ...rest },
})
const toRead = { route: [destination(read, 3100)] }
const inNamespace = (namespace: string) => ({ namespace })
const keeping = (...exportTo: string[]) => ({ annotations: { 'networking.istio.io/exportTo': exportTo.join() } })

const cluster = [
  meshNamespace('shop'),
  meshNamespace('payments'),
  service('orders', { ports: [http(3111)] }),
  service('two', { ports: [http(3111), http(3112, 'grpc')] }),
  service('read', { ...selecting, ports: [http(3100), http(9095, 'grpc')] }),
  service('ledger', { ports: [http(3113)] }, inNamespace('payments')),
  service('stock', { ...selecting, ports: [http(3120)] }),
]

const show = ({ action, rule, field, problem, fix }: Outcome): string =>
  `${action} ${rule} ${field}: ${problem}. Fix: ${fix}`

type Case = { objects?: object[]; metadata?: Record<string, unknown>; circumstances?: Partial<Circumstances> }

/** What is said of a VirtualService of orders that is good but for what `spec` says otherwise. */
const judged = (spec: object, { objects = [], metadata = {}, circumstances }: Case = {}): readonly Outcome[] =>
  judgeVirtualService(
    parseVirtualService(
      virtualService('orders', { hosts: [orders], gateways: ['mesh'], http: [toRead], ...spec }, metadata),
    ),
    undefined,
    circumstancesIn(storeOf(...cluster, ...objects), circumstances),
  ).outcomes

const said = (spec: object, given?: Case): string[] => judged(spec, given).map(show)

type Row = [story: string, spec: object, expected: string[], given?: Case]

const check = (rule: string, rows: Row[]) =>
  t.test(rule, async (t) => {
    for (const [story, spec, expected, given] of rows) t.strictSame(said(spec, given), expected, story)
  })

/** What comes of the one finding of a rule in a dry run, and in one of a batch. */
const inDryRuns = (spec: object, given: Case = {}): string[] =>
  [false, true].map((batch) => {
    const [one, ...more] = judged(spec, { ...given, circumstances: { dryRun: true, batch } })
    return `${one?.action}${more.length > 0 ? ' and more' : ''}`
  })

const other = (name: string, spec: object = {}, metadata: Record<string, unknown> = {}) =>
  virtualService(name, { hosts: [orders], gateways: ['mesh'], http: [toRead], ...spec }, metadata)

check('virtualservice-ambient', [
  [
    'in a namespace in ambient mode',
    { hosts: [host('stock')] },
    [
      'warn virtualservice-ambient metadata.namespace: namespace market is in ambient mode. Fix: enrol the Service by istio.io/use-waypoint, or write an HTTPRoute with the Service as its parent',
    ],
    {
      metadata: inNamespace('market'),
      objects: [
        {
          apiVersion: 'v1',
          kind: 'Namespace',
          metadata: { name: 'market', labels: { 'istio.io/dataplane-mode': 'ambient' } },
        },
      ],
    },
  ],
  ['in one with sidecars', {}, []],
  ['in one that nobody lists', { hosts: [host('stock')] }, [], { metadata: inNamespace('nowhere') }],
])

const delegating = (match: object[], delegate: object = { name: 'routes' }) => ({ http: [{ match, delegate }] })
const routes = (spec: object, metadata: Record<string, unknown> = {}) => virtualService('routes', spec, metadata)

check('virtualservice-delegate-unknown', [
  [
    'a delegate that is not there',
    delegating([]),
    [
      'warn virtualservice-delegate-unknown spec.http[0].delegate: there is no VirtualService shop/routes. Fix: create it first, or correct the name',
    ],
  ],
  [
    'one that its namespace keeps to itself',
    delegating([], { name: 'routes', namespace: 'payments' }),
    [
      'warn virtualservice-delegate-unknown spec.http[0].delegate: VirtualService payments/routes is not exported to namespace shop. Fix: add shop to its exportTo',
    ],
    { objects: [routes({ exportTo: ['.'], http: [toRead] }, inNamespace('payments'))] },
  ],
  [
    'one with hosts',
    delegating([]),
    [
      'warn virtualservice-delegate-unknown spec.http[0].delegate: VirtualService shop/routes has hosts of its own. Fix: take the hosts out of it: a delegate has none',
    ],
    { objects: [routes({ hosts: [host('stock')], http: [toRead] })] },
  ],
  ['one that is there', delegating([]), [], { objects: [routes({ http: [toRead] })] }],
])

check('virtualservice-delegate-conflict', [
  [
    'some routes of a delegate contradict',
    delegating([{ port: 3111, uri: { prefix: '/a' } }]),
    [
      "warn virtualservice-delegate-conflict spec.http[0].delegate (shop/routes: spec.http[1].match): the match of this route contradicts spec.http[0].match. Fix: keep each match within one of the root's: its port, a path under its own",
    ],
    {
      objects: [
        routes({
          http: [
            { match: [{ uri: { prefix: '/a/b' } }], ...toRead },
            { match: [{ port: 3112 }], ...toRead },
          ],
        }),
      ],
    },
  ],
  ['none does', delegating([{ port: 3111 }]), [], { objects: [routes({ http: [toRead] })] }],
])

const empty = (...ready: boolean[]) =>
  endpointSlice('read-1', 'read', {}, { endpoints: ready.map((one) => ({ conditions: { ready: one } })) })

check('virtualservice-destination-empty', [
  [
    'nothing behind a destination is ready, which is said once',
    { http: [{ match: [{ uri: { prefix: '/a' } }], ...toRead }, toRead] },
    [
      "warn virtualservice-destination-empty spec.http[0].route[0].destination.host: no endpoint of Service shop/read is ready. Fix: start the Pods, or compare the Service's selector with their labels",
    ],
    { objects: [empty(false, false)] },
  ],
  ['one endpoint is ready', {}, [], { objects: [empty(false, true)] }],
  ['there is no slice, as in manifests', {}, []],
  [
    'a Service whose endpoints somebody else writes',
    { http: [{ route: [destination(host('hand'), 3100)] }] },
    [],
    {
      objects: [
        service('hand', { ports: [http(3100)] }, { labels: { 'meshvip.dev/virtual-host': 'false' } }),
        endpointSlice('hand-1', 'hand'),
      ],
    },
  ],
  [
    'a ServiceEntry',
    { http: [{ route: [destination('pay.example.com', 80)] }] },
    [],
    { objects: [entryFor('pay', { hosts: ['pay.example.com'], ports: [{ number: 80, protocol: 'HTTP' }] })] },
  ],
  ['for an ordinary Service nobody looks', { hosts: [host('stock')] }, [], { objects: [empty(false)] }],
])

t.test('of a mirror with nothing ready only the copies are lost', async (t) => {
  const spec = { http: [{ route: [destination(host('stock'), 3120)], mirror: toRead.route[0]?.destination }] }
  t.strictSame(
    judged(spec, { objects: [empty(false)] }).map(({ reason }) => reason),
    ['the copies are lost until there is one'],
  )
})

check('virtualservice-host-form', [
  [
    'of a Service that has port 80 among others',
    { hosts: ['eighty.shop'] },
    [
      `warn virtualservice-host-form spec.hosts[0]: host "eighty.shop" names no Service to Istio. Fix: write ${host('eighty')}`,
    ],
    { objects: [service('eighty', { ports: [http(80), http(3111)] })] },
  ],
])

const sidecarsOwn = (index: number, port: number, owner: string) =>
  `deny virtualservice-match-port spec.http[0].match[${index}].port: port ${port} is one that sidecars use themselves. Fix: give ${owner} another port, and write that one here`
const odd = service('odd', { ports: [http(3111), http(15021)] })
const atOdd = { hosts: [host('odd')], http: [{ match: [{ port: 15021 }], ...toRead }] }
const payOn15001 = (name: string, protocol: string) =>
  entryFor(name, { hosts: ['pay.test'], ports: [{ number: 15001, name: protocol, protocol }] })

const match80 = { hosts: [orders], http: [{ match: [{ port: 80 }, { port: 3111 }], ...toRead }] }

check('virtualservice-match-port', [
  [
    'port 80, on which sidecars are given what its hosts do not have',
    match80,
    [
      'warn virtualservice-match-port spec.http[0].match[0].port: no host has port 80. Fix: write a port of the hosts (3111), or leave it out to match them all',
    ],
  ],
  [
    'port 80 of a host',
    { ...match80, hosts: [orders, host('eighty')] },
    [],
    { objects: [service('eighty', { ...selecting, ports: [http(80)] })] },
  ],
  [
    'an HTTP port that sidecars use themselves, of a ServiceEntry',
    { hosts: ['pay.test'], http: [{ match: [{ port: 15001 }], ...toRead }] },
    [sidecarsOwn(0, 15001, 'pay.test')],
    { objects: [payOn15001('pay', 'HTTP')] },
  ],
  [
    'one of a Service beside another',
    { hosts: [host('odd')], http: [{ match: [{ port: 3111 }, { port: 15021 }], ...toRead }] },
    [sidecarsOwn(1, 15021, host('odd'))],
    { objects: [odd] },
  ],
  [
    'one of several hosts, and what else is wrong with its route',
    { hosts: [host('odd'), 'pay.test'], http: [{ match: [{ port: 15021 }], route: [destination('nobody', 3100)] }] },
    [
      sidecarsOwn(0, 15021, 'its hosts'),
      'deny virtualservice-destination-unknown spec.http[0].route[0].destination.host: there is no Service shop/nobody. Fix: create the Service first, or correct the name',
    ],
    {
      objects: [
        odd,
        entryFor('pay', { hosts: ['pay.test'], ports: [{ number: 15021, name: 'http', protocol: 'HTTP' }] }),
      ],
    },
  ],
  ['what another gateway may serve', { ...atOdd, gateways: ['mesh', 'ingress'] }, [], { objects: [odd] }],
  [
    'what is for the mesh among other gateways',
    {
      ...atOdd,
      gateways: ['mesh', 'ingress'],
      http: [{ match: [{ port: 15021, gateways: ['mesh'] }], ...toRead }],
    },
    [sidecarsOwn(0, 15021, host('odd'))],
    { objects: [odd] },
  ],
  [
    'what a host that this cluster cannot show may carry',
    { hosts: [host('odd'), 'x.global'], http: [{ match: [{ port: 3111 }, { port: 15021 }], ...toRead }] },
    [],
    { objects: [odd], circumstances: { policy: { ...defaultPolicy, foreignHosts: ['*.global'] } } },
  ],
  [
    'a TCP one',
    { hosts: ['pay.test'], http: undefined, tcp: [{ match: [{ port: 15001 }], ...toRead }] },
    [],
    { objects: [payOn15001('pay', 'TCP')] },
  ],
  [
    'a TCP one where another ServiceEntry has it as HTTP',
    { hosts: ['pay.test'], http: undefined, tcp: [{ match: [{ port: 15001 }], ...toRead }] },
    [],
    { objects: [payOn15001('a', 'HTTP'), payOn15001('b', 'TCP')] },
  ],
])

const named = (...ports: object[]) => [service('named', { ...selecting, ports })]
const toNamed = (port?: number) => ({
  http: [{ route: [{ destination: { host: host('named'), ...(port ? { port: { number: port } } : {}) } }] }],
})

check('virtualservice-destination-port-name', [
  [
    'a port that does not say its protocol',
    toNamed(3140),
    [
      'deny virtualservice-destination-port-name spec.http[0].route[0].destination.port.number: port 3140 of Service shop/named does not say its protocol. Fix: name the port of that Service by its protocol, as in name: http-api, or set its appProtocol',
    ],
    { objects: named({ name: 'web', port: 3140 }, http(3100)) },
  ],
  [
    'one of a ServiceEntry',
    { http: [{ route: [destination('pay.example.com', 8080)] }] },
    [],
    { objects: [entryFor('pay', { hosts: ['pay.example.com'], ports: [{ number: 8080, protocol: 'x' }] })] },
  ],
  ['another port of the same Service', toNamed(3100), [], { objects: named({ name: 'web', port: 3140 }, http(3100)) }],
  [
    'an ordinary Service’s is only told',
    { hosts: [host('stock')], ...toNamed(3140) },
    [
      'warn virtualservice-destination-port-name spec.http[0].route[0].destination.port.number: port 3140 of Service shop/named does not say its protocol. Fix: name the port of that Service by its protocol, as in name: http-api, or set its appProtocol',
    ],
    { objects: named({ name: 'web', port: 3140 }) },
  ],
])

const unfit = (port: number, text: string, fix: string) => [
  `warn virtualservice-destination-protocol spec.http[0].route[0].destination.port.number: port ${port} of "${host('named')}" ${text}. Fix: ${fix}`,
]
const toHttp1 = unfit(
  3100,
  'speaks HTTP/1.1 by its name, and is sent HTTP/2',
  'name the port of the destination grpc or http2, or that of the host http',
)
const onTwo = (match: object[], port = 3100) => ({
  hosts: [host('two')],
  http: [{ match, route: [destination(host('named'), port)] }, { route: [destination(read, 9095)] }],
})

check('virtualservice-destination-protocol', [
  [
    'HTTP to TLS',
    toNamed(8443),
    unfit(
      8443,
      'expects TLS, and is sent plain HTTP',
      'lead to a port that speaks HTTP, or originate TLS by a DestinationRule',
    ),
    { objects: named(http(8443, 'https')) },
  ],
  [
    'HTTP to TCP',
    toNamed(6379),
    unfit(
      6379,
      'is a TCP port by its name, and is sent HTTP',
      'lead to a port that speaks HTTP, or name the port http if it does',
    ),
    { objects: named(http(6379, 'redis')) },
  ],
  ['gRPC to HTTP/1.1', onTwo([{ port: 3112 }]), toHttp1, { objects: named(http(3100)) }],
  ['gRPC to gRPC', onTwo([{ port: 3112 }], 9095), [], { objects: named(http(9095, 'grpc')) }],
  [
    'HTTP to gRPC, which may as well be gRPC',
    onTwo([{ port: 3111 }], 9095),
    [],
    { objects: named(http(9095, 'grpc')) },
  ],
  ['HTTP to HTTP', onTwo([{ port: 3111 }]), [], { objects: named(http(3100)) }],
  ['either to HTTP/1.1', { ...onTwo([]), http: onTwo([]).http.slice(0, 1) }, [], { objects: named(http(3100)) }],
  [
    'a TLS port for which a DestinationRule may originate TLS',
    toNamed(8443),
    [],
    { objects: [...named(http(8443, 'https')), destinationRule('named', host('named'))] },
  ],
  [
    'but not one for everything, which is there for mutual TLS',
    toNamed(8443),
    unfit(
      8443,
      'expects TLS, and is sent plain HTTP',
      'lead to a port that speaks HTTP, or originate TLS by a DestinationRule',
    ),
    { objects: [...named(http(8443, 'https')), destinationRule('all', '*.local')] },
  ],
  [
    'several ports, of which the first is told',
    { ...toNamed(), hosts: [host('two')] },
    [
      `warn virtualservice-destination-protocol spec.http[0].route[0].destination.port.number: port 3111 of "${host('named')}" expects TLS, and is sent plain HTTP. Fix: lead to a port that speaks HTTP, or originate TLS by a DestinationRule`,
    ],
    { objects: named(http(3111, 'https'), http(3112, 'https')) },
  ],
  [
    'from the ports of a host that this cluster cannot show',
    { hosts: ['a.example.com'], ...toNamed() },
    [],
    {
      objects: named(http(8443, 'https')),
      circumstances: { policy: { ...defaultPolicy, foreignHosts: ['*.example.com'] } },
    },
  ],
  [
    'TCP to TCP',
    { hosts: [host('db')], http: undefined, tcp: [{ route: [destination(host('named'), 3306)] }] },
    [],
    { objects: [...named(http(3306, 'tcp')), service('db', { ports: [http(3306, 'tcp')] })] },
  ],
])

const toLedger = { http: [{ route: [destination(host('ledger', 'payments'), 3113)] }] }
const labelled = { labels: { 'meshvip.dev/virtual-host': 'true' } }
const toLabelled = { http: [{ route: [destination(host('labelled'), 3100)] }] }
const ready = { endpoints: [{ conditions: { ready: true } }] }

check('virtualservice-destination-virtual-host', [
  [
    'a destination that is a virtual host',
    toLedger,
    [
      `deny virtualservice-destination-virtual-host spec.http[0].route[0].destination.host: destination "${host('ledger', 'payments')}" is virtual host payments/ledger. Fix: lead to the Services to which it routes`,
    ],
  ],
  [
    'the virtual host itself',
    { http: [{ route: [destination(orders, 3111)] }] },
    [
      `deny virtualservice-destination-virtual-host spec.http[0].route[0].destination.host: destination "${orders}" is virtual host shop/orders. Fix: lead to the Services to which it routes`,
    ],
  ],
  [
    'one by label that has Pods all the same',
    toLabelled,
    [],
    { objects: [service('labelled', { ...selecting, ports: [http(3100)] }, labelled)] },
  ],
  [
    'one by label that has endpoints all the same',
    toLabelled,
    [],
    { objects: [service('labelled', { ports: [http(3100)] }, labelled), endpointSlice('a', 'labelled', {}, ready)] },
  ],
])

t.test('another VirtualService that serves a host first', async (t) => {
  const finding = (by: string, port = '3111', protocol = 'http') =>
    `virtualservice-host-duplicate spec.hosts: VirtualService ${by} serves ${orders} first (${protocol}, port ${port}). Fix: put the routes into ${by}, or take the host out of one of the two`
  const earlier = (namespace: string, spec: object = {}) => ({ objects: [other('a', spec, inNamespace(namespace))] })
  t.strictSame(said({}, earlier('payments')), [`deny ${finding('payments/a')}`])
  t.strictSame(said({}, earlier('shop')), [`warn ${finding('shop/a')}`], 'in its own namespace it may be a rename')
  const onPort = (port: number, gateways: string[] = []) => [{ match: [{ port, gateways }], ...toRead }]
  const two = (spec: object, theirs: object) =>
    said({ hosts: [host('two')], ...spec }, earlier('payments', { hosts: [host('two')], ...theirs })).filter((text) =>
      text.includes('duplicate'),
    )
  t.strictSame(two({ http: onPort(3111) }, { http: onPort(3112) }), [], 'on ports that do not meet')
  t.equal(two({}, { http: onPort(3112) }).length, 1)
  t.match(two({ http: onPort(3112) }, {})[0], /\(http, port 3112\)/)
  t.strictSame(
    two({ gateways: ['mesh', 'public'], http: [...onPort(3111), ...onPort(3112, ['public'])] }, { http: onPort(3112) }),
    [],
    'with routes that are for other gateways',
  )
  t.strictSame(inDryRuns({}, earlier('payments')), ['deny', 'warn'], 'it may change with the same batch')
})

t.test('a wildcard is for what nobody serves by its name', async (t) => {
  const wildcard = { hosts: ['*.shop.svc.cluster.local'] }
  const duplicates = (spec: object) =>
    said(spec, { objects: [other('a', {}, inNamespace('payments'))] }).filter((text) => text.includes('duplicate'))
  t.strictSame(duplicates(wildcard), [])
  t.match(
    duplicates({ hosts: ['*.svc.cluster.local'], http: [{ match: [{ port: 3111 }], ...toRead }] }),
    [],
    'two has the port as well',
  )
  const alone = { hosts: ['*rders.shop.svc.cluster.local', '*.shop.svc.cluster.local'] }
  t.strictSame(duplicates(alone), [])
})

t.test('as long as a host is not there, nobody knows its ports', async (t) => {
  const foreign = { hosts: [orders, 'api.example.com'] }
  const tls = [{ match: [{ port: 443, sniHosts: ['api.example.com'] }], ...toRead }]
  for (const spec of [{ http: [toRead, { match: [{ port: 443 }], ...toRead }] }, { tls }]) {
    t.notMatch(said({ ...foreign, ...spec }).join(), /match-port|route-protocol/)
  }
})

t.test('a destination of two labels is a Service only if there is one', async (t) => {
  const to = (name: string) => said({ http: [{ route: [destination(name, 3100)] }] }).join()
  t.match(to('read.shop'), /destination-form/)
  t.match(to('web.shop'), /deny virtualservice-destination-unknown .*no ServiceEntry has the host "web.shop"/)
})

const atLedger = { hosts: [host('ledger', 'payments')] }

check('virtualservice-host-foreign', [
  [
    'a virtual host of another namespace',
    atLedger,
    [
      `warn virtualservice-host-foreign spec.hosts[0]: host "${host('ledger', 'payments')}" is that of Service payments/ledger, in another namespace. Fix: move the VirtualService to namespace payments, or limit it to its own by exportTo: [.]`,
    ],
  ],
  ['for its own namespace alone', { ...atLedger, exportTo: ['.'] }, []],
  ['or by name', { ...atLedger, exportTo: ['shop'] }, []],
  [
    'for its own namespace and another',
    { ...atLedger, exportTo: ['.', 'payments'] },
    [
      `warn virtualservice-host-foreign spec.hosts[0]: host "${host('ledger', 'payments')}" is that of Service payments/ledger, in another namespace. Fix: move the VirtualService to namespace payments, or limit it to its own by exportTo: [.]`,
    ],
  ],
  [
    'a wildcard over several',
    { hosts: ['*.payments.svc.cluster.local'] },
    [
      'warn virtualservice-host-foreign spec.hosts[0]: host "*.payments.svc.cluster.local" is that of Service payments/ledger and 1 more, in another namespace. Fix: move the VirtualService to namespace payments, or limit it to its own by exportTo: [.]',
    ],
    { objects: [service('more', { ports: [http(3113)] }, inNamespace('payments'))] },
  ],
  [
    'a ServiceEntry is nobody’s',
    { hosts: [orders, 'pay.example.com'] },
    [],
    { objects: [{ ...serviceEntry('pay', [], 'pay.example.com'), metadata: { namespace: 'payments', name: 'pay' } }] },
  ],
  [
    'an ordinary Service',
    { hosts: [host('bank', 'payments')] },
    [],
    { objects: [service('bank', selecting, inNamespace('payments'))] },
  ],
])

const withHeadless = { hosts: [orders, host('headless')] }
const headless = (spec: object = {}) => service('headless', { clusterIP: 'None', ports: [http(3111)], ...spec })
const withoutIP = (action: string) => [
  `${action} virtualservice-host-headless spec.hosts[1]: Service shop/headless has no ClusterIP. Fix: make the Service anew as type ClusterIP, without clusterIP: None`,
]

check('virtualservice-host-headless', [
  ['a headless Service with nothing behind it', withHeadless, withoutIP('deny'), { objects: [headless()] }],
  [
    'an ExternalName Service, whose other name may resolve',
    withHeadless,
    withoutIP('warn'),
    { objects: [headless({ type: 'ExternalName', clusterIP: '', externalName: 'pay.example.com' })] },
  ],
  ['one with Pods', withHeadless, [], { objects: [headless(selecting)] }],
  [
    'one with endpoints that somebody wrote',
    withHeadless,
    [],
    { objects: [headless(), endpointSlice('headless-1', 'headless', {}, ready)] },
  ],
  [
    'one under a wildcard',
    { hosts: ['*.shop.svc.cluster.local'], http: [{ route: [destination(host('stock'), 3120)] }] },
    [],
    { objects: [headless()] },
  ],
])

check('virtualservice-host-short', [
  [
    'short names, each once',
    {
      hosts: ['orders'],
      http: [
        { match: [{ uri: { prefix: '/a' } }], route: [destination('read', 3100)] },
        { route: [destination('read', 3100)] },
      ],
    },
    [
      `warn virtualservice-host-short spec.hosts[0]: "orders" is a short name. Fix: write ${orders}`,
      `warn virtualservice-host-short spec.http[0].route[0].destination.host: "read" is a short name. Fix: write ${read}`,
    ],
  ],
  [
    'one that is not there has another finding',
    { http: [{ route: [destination('nobody', 3100)] }] },
    [
      'deny virtualservice-destination-unknown spec.http[0].route[0].destination.host: there is no Service shop/nobody. Fix: create the Service first, or correct the name',
    ],
  ],
])

const [pathA, pathB] = [{ uri: { prefix: '/a' } }, { uri: { prefix: '/b' } }]
const unrouted = (port: number, name = 'two') =>
  `warn virtualservice-port-unrouted spec: no route serves port ${port} of Service shop/${name}. Fix: add a route with match.port ${port}, or take the port off the Service`
const atTwo = (...matches: object[]) => ({ hosts: [host('two')], http: [{ match: matches, ...toRead }] })

check('virtualservice-port-unrouted', [
  ['a port that no route has', atTwo({ port: 3111 }), [unrouted(3112)]],
  ['a route for every port', atTwo({ uri: { prefix: '/a' } }), []],
  [
    'a port of an ordinary Service',
    { ...atTwo({ port: 3111 }), hosts: [host('two'), host('plain')] },
    [unrouted(3112)],
    { objects: [service('plain', { ...selecting, ports: [http(3111), http(3119)] })] },
  ],
  [
    'one that another VirtualService serves, be it younger',
    atTwo({ port: 3111 }),
    [],
    { objects: [other('z', atTwo({ port: 3112 }))] },
  ],
  ['one that another serves by any other match', atTwo({ port: 3111 }), [], { objects: [other('z', atTwo(pathA))] }],
  [
    'one that another serves by one of its matches',
    atTwo({ port: 3111 }),
    [],
    {
      objects: [
        other('z', {
          hosts: [host('two')],
          http: [
            { match: [{ port: 3111 }], ...toRead },
            { match: [{ port: 3111 }, { port: 3112 }], ...toRead },
          ],
        }),
      ],
    },
  ],
  [
    'one that another serves by a match of any port',
    atTwo({ port: 3111 }),
    [],
    { objects: [other('z', atTwo({ uri: { prefix: '/a' } }))] },
  ],
  [
    'one beside a route for another gateway',
    {
      ...atTwo({ port: 3111 }, { uri: { prefix: '/a' }, gateways: ['public'] }),
      gateways: ['mesh', 'public'],
    },
    [unrouted(3112)],
  ],
  [
    'a port of a ServiceEntry beside it',
    { ...atTwo({ port: 3111 }), hosts: [host('two'), 'pay.example.com'] },
    [unrouted(3112)],
    { objects: [entryFor('pay', { hosts: ['pay.example.com'], ports: [{ number: 8080, protocol: 'HTTP' }] })] },
  ],
  [
    'one that another would serve that has no match at all',
    { ...atTwo({ port: 3111 }), exportTo: ['.'] },
    [],
    { objects: [other('z', { hosts: [host('two')] })] },
  ],
  [
    'one that another serves for other gateways, or elsewhere',
    atTwo({ port: 3111 }),
    [unrouted(3112)],
    {
      objects: [
        other('z', { ...atTwo({ port: 3112 }), gateways: ['public'] }),
        other('y', { ...atTwo({ port: 3112 }), exportTo: ['~'] }),
      ],
    },
  ],
  ['ports that are kept for some callers', atTwo({ port: 3111 }, { port: 3112, sourceNamespace: 'payments' }), []],
  ['all that are kept for some callers', atTwo({ sourceNamespace: 'payments' }), []],
  [
    'a port that Istio keeps for itself, and one of UDP',
    { hosts: [host('odd')], http: [{ match: [{ port: 3111 }], ...toRead }] },
    [],
    {
      objects: [service('odd', { ports: [http(3111), http(15021), { name: 'dns', port: 53, protocol: 'UDP' }] })],
    },
  ],
])

check('virtualservice-route-protocol', [
  [
    'an http route where there is TCP only',
    { hosts: [host('db')] },
    [
      'deny virtualservice-route-protocol spec.http[0]: no port of the hosts carries http routes. Fix: use a port named http, http2 or grpc (its hosts have none), or write the route as one of the protocol that the port has',
    ],
    { objects: [service('db', { ports: [http(3306, 'tcp')] })] },
  ],
  [
    'a tcp route on a port of HTTP',
    {
      hosts: [host('mixed')],
      http: undefined,
      tcp: [{ match: [{ port: 3111 }], ...toRead }],
    },
    [
      'deny virtualservice-route-protocol spec.tcp[0].match[0].port: port 3111 carries no tcp routes. Fix: use a port named tcp, mongo, redis or mysql (its hosts have 3306), or write the route as one of the protocol that the port has',
    ],
    { objects: [service('mixed', { ports: [http(3111), http(3306, 'tcp')] })] },
  ],
  [
    'a tls route on anything but TLS',
    { http: undefined, tls: [{ match: [{ sniHosts: [orders] }], ...toRead }] },
    [
      'deny virtualservice-route-protocol spec.tls[0]: no port of the hosts carries tls routes. Fix: use a port named tls or https (its hosts have none), or write the route as one of the protocol that the port has',
    ],
  ],
  [
    'http and tcp on a port whose protocol has to be guessed',
    { hosts: [host('guess')], tcp: [toRead] },
    [],
    { objects: [service('guess', { ports: [{ name: 'web', port: 3111 }] })] },
  ],
  [
    'as long as a host is not there nobody knows its ports',
    { hosts: [orders, host('nobody')], tcp: [toRead] },
    [
      'deny virtualservice-host-unknown spec.hosts[1]: there is no Service shop/nobody. Fix: create the Service first, or correct the name',
    ],
  ],
])

const unreachable = (field: string, problem: string, fix: string) =>
  `warn virtualservice-route-unreachable ${field}: ${problem}. Fix: ${fix}`
const shadowed = (field: string) =>
  unreachable(
    field,
    'an earlier route takes everything that this one could get',
    'put it before that one, or leave it out',
  )
const repeated = (field: string) =>
  unreachable(field, 'an earlier match is the same', 'leave it out, or make it differ')

check('virtualservice-route-unreachable', [
  [
    'what comes after a route for everything',
    { http: [toRead, { match: [pathA], ...toRead }, toRead] },
    [shadowed('spec.http[1].match[0]'), shadowed('spec.http[2]')],
  ],
  [
    'a match that is the same as an earlier one, on the same ports',
    { http: [{ match: [pathA], ...toRead }, { match: [pathB, pathA], ...toRead }, toRead] },
    [repeated('spec.http[1].match[1]')],
  ],
  [
    'the same on one port, and on another',
    atTwo({ ...pathA, port: 3111 }, { ...pathA, port: 3112 }, { ...pathA, port: 3111 }),
    [repeated('spec.http[0].match[2]')],
  ],
  [
    'for other callers',
    { http: [...['a', 'b'].map((app) => ({ match: [{ ...pathA, sourceLabels: { app } }], ...toRead })), toRead] },
    [],
  ],
  [
    'for the same callers, by the same labels in another order',
    {
      http: [
        { match: [{ ...pathA, sourceLabels: { app: 'a', tier: 'b' } }], ...toRead },
        { match: [{ ...pathA, sourceLabels: { tier: 'b', app: 'a' } }], ...toRead },
        toRead,
      ],
    },
    [repeated('spec.http[1].match[0]')],
  ],
  [
    'what gets no request for another reason',
    { http: [...[1, 2].map(() => ({ match: [{ ...pathA, port: 9 }], ...toRead })), toRead] },
    [0, 1].map(
      (index) =>
        `deny virtualservice-match-port spec.http[${index}].match[0].port: no host has port 9. Fix: write a port of the hosts (3111), or leave it out to match them all`,
    ),
  ],
  ['the order that was meant', { http: [{ match: [pathA], ...toRead }, toRead] }, []],
])

t.test('a route that never gets a request is known again by its name, else by its match', async (t) => {
  const twice = (rest: object) =>
    [pathA, pathB].flatMap((match) => [1, 2].map(() => ({ match: [match], ...rest, ...toRead })))
  const about = (rest: object) => judged({ http: [...twice(rest), toRead] }).map(({ about }) => about)
  t.strictSame(about({ name: 'a' }), ['a', 'a'])
  t.strictSame(
    about({}),
    [pathA, pathB].map((match) => JSON.stringify(match)),
  )
})

const subset = (name: string) => ({ http: [{ route: [destination(read, 3100, { subset: name })] }] })
const noSubset = (name: string, has: string) =>
  `deny virtualservice-subset-unknown spec.http[0].route[0].destination.subset: no DestinationRule for "${read}" defines subset ${name}. Fix: add it to the DestinationRule (${has}), or leave the subset out`
const readRule = (spec: object = {}) =>
  destinationRule('read', 'read', { subsets: [{ name: 'v2' }, { name: 'v1' }], ...spec })

check('virtualservice-subset-unknown', [
  ['no DestinationRule at all', subset('v1'), [noSubset('v1', 'none defines any')]],
  ['one without this subset', subset('v3'), [noSubset('v3', 'there are v1, v2')], { objects: [readRule()] }],
  ['one with it', subset('v1'), [], { objects: [readRule()] }],
  [
    'one with it that is for some Pods only',
    { ...subset('v1'), exportTo: ['.'] },
    [
      `warn virtualservice-subset-unknown spec.http[0].route[0].destination.subset: not all Pods have subset v1 of "${read}", since a DestinationRule is for some of them only. Fix: define the subset in each of the DestinationRules for that host`,
    ],
    { objects: [readRule({ workloadSelector: { matchLabels: { app: 'front' } } })] },
  ],
  [
    'and for callers of other namespaces, which it cannot be for, there is none',
    subset('v1'),
    [
      noSubset('v1', 'none defines any')
        .replace('deny', 'warn')
        .replace('. Fix', ' (for sidecars in other namespaces). Fix'),
    ],
    { objects: [readRule({ workloadSelector: { matchLabels: { app: 'front' } } })] },
  ],
])

t.test('in a dry run what may come with the batch is a warning', async (t) => {
  t.strictSame(inDryRuns(subset('v1')), ['warn', 'warn'], 'a DestinationRule that is missing')
  t.strictSame(inDryRuns(toLedger), ['deny', 'warn'])
  t.strictSame(inDryRuns(toNamed(3140), { objects: named({ name: 'web', port: 3140 }) }), ['deny', 'warn'])
  t.strictSame(inDryRuns(withHeadless, { objects: [headless()] }), ['deny', 'warn'])
  t.strictSame(inDryRuns({ http: undefined, tcp: [toRead] }), ['deny', 'warn'])
})

t.test('hidden hosts and destinations', async (t) => {
  const hidden = (name: string, spec: object) => service(name, spec, { namespace: 'payments', ...keeping('.') })
  const objects = [hidden('bank', { ...selecting, ports: [http(3100)] }), hidden('vault', { ports: [http(3111)] })]
  t.strictSame(
    said({ http: [{ route: [destination(host('bank', 'payments'), 3100)] }], exportTo: ['.'] }, { objects }),
    [
      `deny virtualservice-destination-unknown spec.http[0].route[0].destination.host: "${host('bank', 'payments')}" is not exported to the namespace of the caller. Fix: add the namespace to its exportTo (of a Service: annotation networking.istio.io/exportTo)`,
    ],
  )
  t.strictSame(said({ hosts: [orders, host('vault', 'payments')], exportTo: ['.'] }, { objects }), [
    `deny virtualservice-host-unknown spec.hosts[1]: host "${host('vault', 'payments')}" is not exported to the namespace of the caller. Fix: add the namespace to its exportTo (of a Service: annotation networking.istio.io/exportTo)`,
  ])
})

t.test('an ExternalName Service as destination', async (t) => {
  const alias = (...ports: number[]) => [
    service('alias', { type: 'ExternalName', externalName: read, ports: ports.map((port) => http(port)) }),
    service('lost', { type: 'ExternalName', externalName: 'pay.example.com', ports: [http(3111)] }),
  ]
  const to = (name: string) => ({ http: [{ route: [destination(host(name), 3100)] }] })
  const said = (spec: object, objects: object[]) => judged(spec, { objects }).map(show)
  t.strictSame(said(to('alias'), alias(3111)), [])
  t.strictSame(said(to('alias'), alias(3100)), [
    `deny virtualservice-destination-port spec.http[0].route[0].destination.host: ExternalName Service "${host('alias')}" does not have port 3111, on which the sidecar listens. Fix: add port 3111 to that Service (it has 3100), or lead to what it stands for`,
  ])
  t.strictSame(said({ ...to('alias'), hosts: [host('two')] }, alias(3111)), [
    `warn virtualservice-destination-port spec.http[0].route[0].destination.host: ExternalName Service "${host('alias')}" does not have port 3112, on which the sidecar listens. Fix: add port 3112 to that Service (it has 3111), or lead to what it stands for`,
  ])
  t.strictSame(said(to('lost'), alias()), [
    `deny virtualservice-destination-unknown spec.http[0].route[0].destination.host: "${host('lost')}" stands for pay.example.com, which no Service and no ServiceEntry has. Fix: create a ServiceEntry for pay.example.com first, or lead there without the ExternalName Service`,
  ])
})

t.test('what holds for the sidecars of some namespaces only is a warning that says which', async (t) => {
  const bank = service(
    'bank',
    { ...selecting, ports: [http(3100)] },
    { namespace: 'payments', ...keeping('.', 'shop') },
  )
  const toBank = { http: [{ route: [destination(host('bank', 'payments'), 3100)] }] }
  t.strictSame(said(toBank, { objects: [bank] }), [
    `warn virtualservice-destination-unknown spec.http[0].route[0].destination.host: "${host('bank', 'payments')}" is not exported to the namespace of the caller (for sidecars in other namespaces). Fix: add the namespace to its exportTo (of a Service: annotation networking.istio.io/exportTo)`,
  ])
  t.strictSame(said({ ...toBank, exportTo: ['.'] }, { objects: [bank] }), [], 'to these it is not exported')
  const rule = readRule({ exportTo: ['.'] })
  const named = subset('v1').http.map((route) => ({
    ...route,
    match: [{ sourceNamespace: 'payments', ...pathB }, pathA],
  }))
  t.strictSame(said({ http: named }, { objects: [rule] }), [
    `${noSubset('v1', 'none defines any').replace('deny', 'warn').replace('. Fix', ' (for sidecars in other namespaces and namespace payments). Fix')}`,
  ])
})

t.test('what is found for some namespaces only is said of these, be it a warning', async (t) => {
  const ledger = service('vault', { ports: [http(3112)] }, { namespace: 'payments', ...keeping('.') })
  const spec = { hosts: [orders, host('vault', 'payments')], http: [{ route: [{ destination: { host: 'front' } }] }] }
  const objects = [ledger, service('front', { ...selecting, ports: [http(3111)] })]
  t.strictSame(
    said({ ...spec, exportTo: ['.', 'payments'] }, { objects }).filter((text) => /-unknown|-port /.test(text)),
    [
      `warn virtualservice-host-unknown spec.hosts[1]: host "${host('vault', 'payments')}" is not exported to the namespace of the caller (for sidecars in namespace shop). Fix: add the namespace to its exportTo (of a Service: annotation networking.istio.io/exportTo)`,
      'warn virtualservice-destination-port spec.http[0].route[0].destination.port: no port is given, so a sidecar takes the port it listens on, 3112, which "front" does not have (for sidecars in namespace payments). Fix: add port.number: 3111 (it has 3111)',
    ],
  )
})

t.test('what is worse for some namespaces is said of these, with what they meet', async (t) => {
  const toShop = (name: string, port: number) =>
    service(name, { ports: [http(port)] }, { namespace: 'payments', ...keeping('shop') })
  const objects = [toShop('v-1', 3110), toShop('v-2', 3112), service('front', { ...selecting, ports: [http(3112)] })]
  const spec = {
    hosts: [host('v-1', 'payments'), host('v-2', 'payments'), orders],
    http: [{ route: [{ destination: { host: 'front' } }] }],
  }
  t.strictSame(
    said(spec, { objects }).filter((text) => text.includes('-destination-port ')),
    [
      'warn virtualservice-destination-port spec.http[0].route[0].destination.port: no port is given, so a sidecar takes the port it listens on, 3111, which "front" does not have (for sidecars in other namespaces and namespace payments). Fix: add port.number: 3112 (it has 3112)',
    ],
  )
})

t.test('what is a virtual host to the sidecars of one namespace is one', async (t) => {
  const vault = service('vault', {}, { namespace: 'payments', ...keeping('.') })
  t.match(said({ hosts: [host('stock'), host('vault', 'payments')], gateways: undefined }, { objects: [vault] }), [
    /^deny virtualservice-mesh-gateway/,
  ])
})

t.test('what all are denied that are given it is denied', async (t) => {
  const http = [{ ...subset('v1').http[0], match: [{ sourceNamespace: 'shop', ...pathA }] }]
  t.strictSame(said({ http }), [noSubset('v1', 'none defines any')])
  t.match(said({ http: [...http, subset('v2').http[0]] }), [/^deny.*subset v1/, /^deny.*subset v2/])
})

t.test('a delegate is judged as part of the roots that use it', async (t) => {
  const root = (name: string, spec: object) => virtualService(name, { hosts: [orders], gateways: ['mesh'], ...spec })
  const judge = (spec: object, ...objects: object[]) =>
    said({ hosts: undefined, gateways: undefined, ...spec }, { objects })
  const asRoutes = delegating([{ port: 3111 }], { name: 'orders' })
  const toNobody = { http: [{ route: [destination('nobody', 3100)] }] }
  const finding = (name: string) =>
    `deny virtualservice-destination-unknown spec.http[0].route[0].destination.host: there is no Service shop/nobody (as part of VirtualService shop/${name}). Fix: create the Service first, or correct the name`
  t.strictSame(judge(toNobody), [], 'nobody uses it')
  t.strictSame(judge(toNobody, root('root', asRoutes)), [finding('root')])
  t.strictSame(
    judge(toNobody, root('a', asRoutes), root('b', { ...asRoutes, exportTo: ['.'] })).length,
    1,
    'two use it',
  )
  const fromShop = delegating([{ port: 3111 }], { name: 'orders', namespace: 'shop' })
  const inMesh = root('a', fromShop)
  const offMesh = { ...root('b', fromShop), metadata: { name: 'b', namespace: 'off-mesh' } }
  for (const roots of [
    [inMesh, offMesh],
    [offMesh, inMesh],
  ])
    t.strictSame(judge(toNobody, ...roots, { ...meshNamespace('off-mesh'), metadata: { name: 'off-mesh' } }), [
      finding('a'),
    ])
  t.strictSame(
    judge({}, root('root', { hosts: [orders, 'nobody'], ...asRoutes })),
    [],
    'what is wrong in the root is said of the root',
  )
  t.strictSame(judge({ http: [{ match: [{ port: 3112 }], ...toRead }] }, root('root', asRoutes)), [
    "warn virtualservice-delegate-conflict spec.http[0].match: the match of this route contradicts spec.http[0].match (as part of VirtualService shop/root). Fix: keep each match within one of the root's: its port, a path under its own",
  ])
})

t.test(
  'whatever hosts, matches and destinations are given, a finding is one line, and a warning is short',
  async () => {
    const name = fc.constantFrom(
      orders,
      'orders',
      host('two'),
      host('ledger', 'payments'),
      'orders.shop',
      '*.local',
      'nobody',
    )
    const port = fc.constantFrom(3100, 3111, 3112, 9095, 9)
    const match = fc.record(
      { port, sourceNamespace: fc.constantFrom('shop', 'payments'), uri: fc.constant({ prefix: '/a' }) },
      { requiredKeys: [] },
    )
    const route = fc.record({
      match: fc.array(match, { maxLength: 3 }),
      route: fc.array(
        fc
          .tuple(fc.oneof(name, fc.constant(read)), port)
          .map(([to, number]) => destination(to, number, { subset: 'v1' })),
        { minLength: 1, maxLength: 2 },
      ),
    })
    const spec = fc.record({
      hosts: fc.array(name, { minLength: 1, maxLength: 3 }),
      http: fc.array(route, { maxLength: 3 }),
      tcp: fc.array(route, { maxLength: 2 }),
      exportTo: fc.constantFrom([], ['.'], ['.', 'payments'], ['*']),
    })
    const objects = [other('a', {}, inNamespace('payments')), readRule({ exportTo: ['.'] })]
    fc.assert(
      fc.property(spec, (one) =>
        judged(one, { objects }).every(
          (outcome) =>
            warningText(outcome).length <= 256 &&
            [outcome.problem, outcome.reason, outcome.fix].every((text) => /^[ -~]+[^.]$/.test(text)),
        ),
      ),
      { numRuns: 300 },
    )
  },
)

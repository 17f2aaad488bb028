import fc from 'fast-check'
import t from 'tap'
import { parseService } from '../../src/api/service.ts'
import { loadPolicy } from '../../src/config/load.ts'
import { type Circumstances, judgeService, judgeServiceDeletion, type Outcome } from '../../src/rules/judge.ts'
import { defaultPolicy, type Policy } from '../../src/rules/policy.ts'
import { storeOf } from '../support/backends.ts'
import { circumstancesIn } from '../support/circumstances.ts'
import { endpointSlice, service, serviceEntry, virtualService } from '../support/objects.ts'

const orders = 'orders.shop.svc.cluster.local'
const read = 'read.shop.svc.cluster.local'
const to = (host: string, port?: number, more: object = {}) => ({
  destination: { host, ...(port === undefined ? {} : { port: { number: port } }) },
  ...more,
})
const ports = (...numbers: number[]) => numbers.map((port) => ({ name: `http-${port}`, port, protocol: 'TCP' }))

const virtualHost = (...numbers: number[]) =>
  service('orders', { externalIPs: ['240.240.0.7'], ports: ports(...numbers) })
const destination = (...numbers: number[]) => service('read', { selector: { app: 'a' }, ports: ports(...numbers) })

/** A VirtualService on the mesh, from port 3111 of the virtual host to port 3100 of the destination. */
const route = (spec: object = {}, name = 'routes') =>
  virtualService(name, {
    hosts: [orders],
    gateways: ['mesh'],
    http: [{ match: [{ port: 3111 }], route: [to(read, 3100)] }],
    ...spec,
  })

const circumstances = (objects: object[], overrides?: Partial<Circumstances>): Circumstances =>
  circumstancesIn(storeOf(virtualHost(3111, 3112), destination(3100, 3111, 9095), ...objects), overrides)

const own = (outcomes: readonly Outcome[]) => outcomes.filter(({ rule }) => rule === 'service-in-use')

const updated = (before: object, after: object, objects: object[], overrides?: Partial<Circumstances>) =>
  own(judgeService(parseService(after), parseService(before), circumstances(objects, overrides)).outcomes)

const deleted = (object: object, objects: object[], overrides?: Partial<Circumstances>) =>
  judgeServiceDeletion(parseService(object), circumstances(objects, overrides))

const problems = (outcomes: readonly Outcome[]) =>
  outcomes.map(({ action, field, problem }) => `${action} ${field}: ${problem}`)

const taken = (port: number, users = 'VirtualService shop/routes') =>
  `warn spec.ports: port ${port} is taken away, but in use by ${users}`

await t.test('a port that is taken away', async (t) => {
  const catchAll = { http: [{ route: [to(read, 3100)] }] }
  const stories: [story: string, before: object, after: object, objects: object[], expected: string[]][] = [
    ['by which nothing routes', virtualHost(3111, 3112), virtualHost(3112), [], []],
    ['by which a match routes', virtualHost(3111, 3112), virtualHost(3112), [route()], [taken(3111)]],
    ['by which no match routes', virtualHost(3111, 3112), virtualHost(3111), [route()], []],
    [
      'by which a route without match routes',
      virtualHost(3111, 3112),
      virtualHost(3111),
      [route(catchAll)],
      [taken(3112)],
    ],
    [
      'that carries http and tcp, by which an http match alone routes',
      service('orders', { ports: [{ name: 'web', port: 3111 }] }),
      virtualHost(3112),
      [route()],
      [taken(3111)],
    ],
    ['beside one that is added', virtualHost(3111), virtualHost(3222), [route()], [taken(3111)]],
    ['none', virtualHost(3111), virtualHost(3111, 3222), [route()], []],
    ['to which a route leads', destination(3100, 9095), destination(9095), [route()], [taken(3100)]],
    ['to which none leads', destination(3100, 9095), destination(3100), [route()], []],
    [
      'to which a copy of the traffic leads',
      destination(3100, 9095),
      destination(3100),
      [route({ http: [{ route: [to(read, 3100)], mirror: to(read, 9095).destination }] })],
      [taken(9095)],
    ],
    [
      'to which a route leads that names no port, and is listened on for it',
      destination(3100, 3111),
      destination(3100),
      [route({ http: [{ match: [{ port: 3111 }], route: [to(read)] }] })],
      [taken(3111)],
    ],
    [
      'to which a copy leads that names no port',
      destination(3100, 3111),
      destination(3100),
      [route({ http: [{ match: [{ port: 3111 }], route: [to(read, 3100)], mirror: { host: read } }] })],
      [taken(3111)],
    ],
    [
      'to which a route could lead that names no port, but is not listened on for it',
      destination(3100, 3111),
      destination(3111),
      [route({ http: [{ match: [{ port: 3111 }], route: [to(read)] }] })],
      [],
    ],
    [
      'of a destination that takes no part',
      destination(3100, 9095),
      destination(3100),
      [route({ http: [{ route: [to(read, 3100, { weight: 100 }), to(read, 9095, { weight: 0 })] }] })],
      [],
    ],
    [
      'by short names',
      virtualHost(3111),
      virtualHost(3112),
      [route({ hosts: ['Orders'], http: [{ route: [to('read', 3100)] }] })],
      [taken(3111)],
    ],
    ['under a wildcard', virtualHost(3111), virtualHost(3112), [route({ hosts: ['*.shop.svc.cluster.local'] })], []],
    [
      'under a wildcard, of what a route leads to by another port',
      destination(3100, 3111),
      destination(3100),
      [route({ hosts: ['*.shop.svc.cluster.local'] })],
      [],
    ],
    [
      'that is UDP, for which there is no cluster that a route could lead to',
      service('read', { ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] }),
      destination(3100),
      [route({ http: [{ route: [to(read, 53)] }] })],
      [],
    ],
    [
      'under its name, beside a wildcard and a host of others',
      virtualHost(3111),
      virtualHost(3112),
      [serviceEntry('bank', []), route({ hosts: ['*.shop.svc.cluster.local', 'bank.example.com', orders] })],
      [taken(3111)],
    ],
    ['off the mesh', destination(3100), destination(9095), [route({ gateways: ['public'] })], []],
    [
      'in a match for other gateways',
      destination(3100),
      destination(9095),
      [
        route({
          gateways: ['mesh', 'public'],
          http: [{ match: [{ gateways: ['public'] }], route: [to(read, 3100)] }],
        }),
      ],
      [],
    ],
    ['in a delegate', destination(3100), destination(9095), [route({ hosts: undefined, gateways: undefined })], []],
    [
      'in use by many',
      destination(3100, 9095),
      destination(9095),
      ['e', 'd', 'c', 'b', 'a'].map((name) => route({ hosts: [`${name}.example.com`] }, name)),
      [taken(3100, 'VirtualServices shop/a, shop/b, shop/c and 2 more')],
    ],
  ]
  for (const [story, before, after, objects, expected] of stories) {
    t.strictSame(problems(updated(before, after, objects)), expected, story)
  }
})

await t.test('a port whose protocol changes', async (t) => {
  const http = { name: 'http', port: 3111, protocol: 'TCP' }
  const change = (from: object | object[], ...now: object[]) => {
    const after = service('orders', { externalIPs: ['240.240.0.7'], ports: now })
    return problems(updated(service('orders', { ports: [from].flat() }), after, [route()]))
  }
  const noHttp = ['warn spec.ports[0]: port 3111 carries no http any more, but is in use by VirtualService shop/routes']
  t.strictSame(change(http, { ...http, name: 'tcp' }), noHttp, 'to TCP')
  t.strictSame(change(http, { ...http, appProtocol: 'https' }), noHttp, 'to TLS')
  t.strictSame(change({ ...http, name: 'web' }, { ...http, name: 'tcp' }), noHttp, 'from one that was guessed')
  t.strictSame(change(http, { ...http, protocol: 'UDP' }), [taken(3111)], 'to UDP, for which there are no clusters')
  t.strictSame(
    change(http, { ...http, protocol: 'UDP', name: 'udp' }, { ...http, name: 'tcp' }),
    ['warn spec.ports[1]: port 3111 carries no http any more, but is in use by VirtualService shop/routes'],
    'beside UDP of that number',
  )
  const sctp = { ...http, name: 'tcp-b', protocol: 'SCTP' }
  t.strictSame(change([http, sctp], sctp), noHttp, 'to SCTP, which it had as well')
  t.strictSame(change(http, { ...http, name: 'grpc' }), [], 'to another one that is HTTP')
  t.strictSame(change({ ...http, name: 'web' }, http), [], 'to one that is said, as service-port-name asks')
  t.strictSame(change({ ...http, name: 'tcp' }, http), [], 'to HTTP')
  t.strictSame(change({ ...http, name: 'tcp' }, { ...http, port: 1 }), [], 'and by which HTTP never was routed')
  t.strictSame(change({ ...http, protocol: 'UDP' }, { ...http, port: 1 }), [], 'and that was UDP')
})

await t.test('what changes nothing about its ports is not asked about', async (t) => {
  const labelled = {
    ...virtualHost(3111),
    metadata: { namespace: 'shop', name: 'orders', labels: { 'meshvip.dev/virtual-host': 'true' } },
  }
  const { view } = circumstances([route()])
  view.virtualServices = () => {
    throw new Error('it is asked about')
  }
  t.strictSame(updated(virtualHost(3111), labelled, [], { view }), [])
  t.strictSame(
    own(judgeService(parseService(virtualHost(3222)), undefined, circumstances([], { view })).outcomes),
    [],
    'nor what is new',
  )
})

await t.test('a deletion', async (t) => {
  const inUse = (name: string) => [
    `warn metadata.name: shop/${name} is deleted, but in use by VirtualService shop/routes`,
  ]
  const stories: [story: string, object: object, objects: object[], expected: string[]][] = [
    ['of a virtual host with routes', virtualHost(3111), [route()], inUse('orders')],
    ['of one whose VirtualService has no routes yet', virtualHost(3111), [route({ http: [] })], inUse('orders')],
    ['of a destination', destination(3100), [route()], inUse('read')],
    [
      'of a destination of which nobody defines the subset',
      destination(3100),
      [route({ http: [{ route: [{ destination: { host: read, port: { number: 3100 }, subset: 'v1' } }] }] })],
      inUse('read'),
    ],
    ['of what nothing uses', service('carts'), [route()], []],
    ['under a wildcard', virtualHost(3111), [route({ hosts: ['*.shop.svc.cluster.local'] })], []],
    ['of what is used off the mesh alone', destination(3100), [route({ gateways: ['public'] })], []],
    ['of what is named off the mesh alone', virtualHost(3111), [route({ gateways: ['public'] })], []],
  ]
  for (const [story, object, objects, expected] of stories)
    t.strictSame(problems(deleted(object, objects)), expected, story)
  const other = { ...route(), metadata: { namespace: 'shop', name: 'more' } }
  const fixes = (...objects: object[]) => deleted(virtualHost(3111), objects).map(({ fix }) => fix)
  t.strictSame(fixes(route()), ['take it out of the VirtualService first'])
  t.strictSame(fixes(route(), other), ['take it out of the VirtualServices first'])
})

await t.test(
  'for what serves the Service by a wildcard alone, the Services under that are not gone through',
  async (t) => {
    const { view } = circumstances([route({ hosts: ['*.cluster.local'] })])
    view.servicesUnder = () => {
      throw new Error('they are gone through')
    }
    t.strictSame(deleted(virtualHost(3111), [], { view }), [])
  },
)

const withAction = (action: 'deny' | 'audit' | 'off'): Policy => ({
  ...defaultPolicy,
  actions: new Map([...defaultPolicy.actions, ['service-in-use', { virtualHost: action, other: action }]]),
})

await t.test('what comes of it', async (t) => {
  const update = (overrides: Partial<Circumstances>) =>
    updated(virtualHost(3111), virtualHost(3112), [route()], overrides).map(({ action, note }) => [action, note])
  const deletion = (overrides: Partial<Circumstances>) =>
    deleted(virtualHost(3111), [route()], overrides).map(({ action, note }) => [action, note])
  const { exemptions } = loadPolicy('exemptions: [{ rules: [service-in-use], reason: moving }]', 'x')
  const exempted = { policy: { ...withAction('deny'), exemptions } }
  const batch = { policy: withAction('deny'), dryRun: true, batch: true }

  t.strictSame([update({ dryRun: true }), deletion({ dryRun: true })], [[['warn', undefined]], [['warn', undefined]]])
  t.strictSame(update({ policy: withAction('deny') }), [['deny', undefined]], 'an update is refused, if so configured')
  t.strictSame(
    update(batch),
    [['warn', 'refused unless the other object is changed as well']],
    'but no dry run of a batch',
  )
  t.strictSame(deletion({ policy: withAction('deny') }), [['warn', undefined]], 'a deletion never is')
  t.strictSame([update(exempted), deletion(exempted)], [[['warn', 'exempted: moving']], [['warn', 'exempted: moving']]])
  const audited = { policy: { ...defaultPolicy, enforcement: 'audit' as const } }
  t.strictSame([update(audited), deletion(audited)], [[['audit', undefined]], [['audit', undefined]]])
  t.strictSame(deletion({ policy: withAction('audit') }), [['audit', undefined]])
  t.strictSame([update({ policy: withAction('off') }), deletion({ policy: withAction('off') })], [[], []])
})

await t.test('outside the mesh nobody is told, unless it is a virtual host by label', async (t) => {
  const plain = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }
  const labelled = service('orders', { ports: ports(3111) }, { labels: { 'meshvip.dev/virtual-host': 'true' } })
  t.strictSame(deleted(destination(3100), [plain, route()]), [])
  t.equal(deleted(labelled, [plain, labelled, route()]).length, 1)
})

await t.test('the action is that of a virtual host, or of what has endpoints', async (t) => {
  const actions = new Map([...defaultPolicy.actions, ['service-in-use', { virtualHost: 'warn', other: 'audit' }]])
  const policy = { ...defaultPolicy, actions } as Policy
  const actionOf = (...objects: object[]) =>
    deleted(virtualHost(3111), [route(), ...objects], { policy }).map(({ action }) => action)
  t.strictSame(actionOf(), ['warn'])
  t.strictSame(actionOf(endpointSlice('orders-1', 'orders')), ['audit'])
})

await t.test('nothing is said of an update that leaves every port that routes use as it was', async () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 3100, max: 3120 }), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(
      numbers,
      numbers,
      fc.option(fc.integer({ min: 3100, max: 3120 }), { nil: undefined }),
      (before, after, port) => {
        const match = port === undefined ? {} : { match: [{ port }] }
        const all = [virtualHost(...before), route({ http: [{ ...match, route: [to(read, 3100)] }] })]
        const said = updated(virtualHost(...before), virtualHost(...after), all).map(({ about }) => Number(about))
        const expected = before.filter((number) => !after.includes(number) && (port ?? number) === number)
        if (said.sort().join() !== expected.sort().join()) throw new Error(`${said} is said, not ${expected}`)
      },
    ),
    { numRuns: 200 },
  )
})

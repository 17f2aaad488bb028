import t from 'tap'
import { parseService, type Service } from '../../src/api/service.ts'
import { parseVirtualService } from '../../src/api/virtual-service.ts'
import { loadPolicy } from '../../src/config/load.ts'
import { type Circumstances, judgeService, judgeVirtualService, type Verdict } from '../../src/rules/judge.ts'
import { defaultPolicy, type Policy } from '../../src/rules/policy.ts'
import { parseManifests } from '../../src/view/manifests.ts'
import { fixtureStore } from '../fixtures/rules.ts'
import { circumstancesIn } from '../support/circumstances.ts'

const cluster = `
{ apiVersion: v1, kind: Namespace, metadata: { name: shop, labels: { istio-injection: enabled } } }
---
{ apiVersion: v1, kind: Namespace, metadata: { name: plain } }
---
{ apiVersion: v1, kind: Service, metadata: { name: orders, namespace: shop }, spec: { ports: [{ name: http, port: 3111 }] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: front, namespace: shop }, spec: { selector: { app: front }, ports: [{ name: http, port: 80 }] } }
`

const withActions = (actions: Record<string, Partial<{ virtualHost: string; other: string }>>): Policy => ({
  ...defaultPolicy,
  actions: new Map(
    [...defaultPolicy.actions].map(([id, defaults]) => [id, { ...defaults, ...actions[id] } as typeof defaults]),
  ),
})

const circumstances = (overrides?: Partial<Circumstances>): Circumstances =>
  circumstancesIn(fixtureStore(parseManifests(cluster, 'cluster.yaml')), overrides)

const service = (ports: object[], extra: object = {}, namespace = 'shop', labels: object = {}): Service =>
  parseService({ metadata: { namespace, name: 'invoices', labels }, spec: { ports, ...extra } })

const address = { externalIPs: ['240.240.200.1'] }

const virtualService = (spec: object, namespace = 'shop') =>
  parseVirtualService({ metadata: { namespace, name: 'orders' }, spec })

const said = ({ outcomes }: Verdict): string[] =>
  outcomes.map(({ rule, action, field }) => `${action} ${rule} ${field}`)

await t.test('all findings are in one verdict, ordered by field, ten after two', async (t) => {
  const ports = Array.from({ length: 11 }, (_, index) => ({ name: `http-${index}`, port: 8000 + index }))
  ports[2] = { name: 'http-2', port: 80 }
  ports[10] = { name: 'web', port: 15021 }
  t.strictSame(said(judgeService(service(ports, address), undefined, circumstances())), [
    'deny service-port-80 spec.ports[2].port',
    'deny service-port-name spec.ports[10].name',
    'deny service-reserved-port spec.ports[10].port',
  ])
  const shared = service([{ name: 'http', port: 3111 }], {
    externalIPs: ['240.240.200.1', '203.0.113.1', '203.0.113.2'],
  })
  const policy = { ...defaultPolicy, reservedPorts: new Map([[3111, { use: 'a test', by: 'sidecar' as const }]]) }
  t.strictSame(
    said(judgeService(shared, undefined, circumstances({ policy }))),
    [
      'deny service-vip-outside-pool spec.externalIPs[1]',
      'deny service-vip-outside-pool spec.externalIPs[2]',
      'deny service-reserved-port spec.ports[0].port',
      'warn service-port-unique spec.ports[0].port',
    ],
    'those of one field in the order of the rules',
  )
})

await t.test('that a Service has no address is no finding beside what refuses it anyway', async (t) => {
  t.strictSame(said(judgeService(service([{ name: 'web', port: 8080 }]), undefined, circumstances())), [
    'deny service-port-name spec.ports[0].name',
  ])
  t.strictSame(said(judgeService(service([{ name: 'http', port: 8080 }]), undefined, circumstances())), [
    'deny service-vip-missing spec.externalIPs',
  ])
})

await t.test('an ordinary Service is advised in a namespace of the mesh', async (t) => {
  const verdict = judgeService(
    service([{ name: 'web', port: 80 }], { selector: { app: 'a' } }),
    undefined,
    circumstances(),
  )
  t.strictSame(said(verdict), ['warn service-port-name spec.ports[0].name'])
  t.equal(verdict.inferred, false)
})

await t.test("outside the mesh only taking somebody's address is anybody's business", async (t) => {
  const foreign = { selector: { app: 'a' }, externalIPs: ['203.0.113.1'] }
  t.strictSame(
    said(judgeService(service([{ name: 'web', port: 15021 }], foreign, 'plain'), undefined, circumstances())),
    ['warn service-vip-outside-pool spec.externalIPs[0]'],
  )
})

await t.test('a virtual host by label is one in any namespace, and not by inference', async (t) => {
  const labels = { 'meshvip.dev/virtual-host': 'true' }
  const verdict = judgeService(
    service([{ name: 'http', port: 80 }], address, 'plain', labels),
    undefined,
    circumstances(),
  )
  t.strictSame(said(verdict), ['deny service-port-80 spec.ports[0].port'])
  t.equal(verdict.inferred, false)
})

await t.test('what the object had before an update is a warning, whatever its place in the list', async (t) => {
  const before = service([{ name: 'http', port: 80 }], address)
  const after = service(
    [
      { name: 'http-new', port: 8080 },
      { name: 'http', port: 80 },
      { name: 'web', port: 8081 },
    ],
    address,
  )
  const verdict = judgeService(after, before, circumstances())
  t.strictSame(said(verdict), ['warn service-port-80 spec.ports[1].port', 'deny service-port-name spec.ports[2].name'])
  t.equal(verdict.outcomes[0]?.note, 'it was so before')
})

await t.test('a VirtualService is compared with what it was before as well', async (t) => {
  const spec = { hosts: ['orders.shop.svc.cluster.local'], http: [{ route: [{ destination: { host: 'front' } }] }] }
  const before = virtualService(spec)
  t.strictSame(said(judgeVirtualService(before, undefined, circumstances())), [
    'deny virtualservice-mesh-gateway spec.gateways',
    'deny virtualservice-destination-port spec.http[0].route[0].destination.port',
  ])
  const after = virtualService({
    ...spec,
    http: [{ match: [{ uri: { prefix: '/a' } }], route: [{ destination: { host: 'nobody' } }] }, ...spec.http],
  })
  t.strictSame(said(judgeVirtualService(after, before, circumstances())), [
    'warn virtualservice-mesh-gateway spec.gateways',
    'deny virtualservice-destination-unknown spec.http[0].route[0].destination.host',
    'warn virtualservice-destination-port spec.http[1].route[0].destination.port',
  ])
})

await t.test('in a dry run what is missing is a warning, and what contradicts is refused', async (t) => {
  const spec = {
    hosts: ['orders.shop.svc.cluster.local'],
    gateways: ['mesh'],
    http: [
      {
        match: [{ port: 3111 }],
        route: [{ destination: { host: 'nobody' } }, { destination: { host: 'front' }, weight: 1 }],
      },
    ],
  }
  const heavy = {
    ...spec,
    http: spec.http.map((route) => ({ ...route, route: route.route.map((r) => ({ ...r, weight: 50 })) })),
  }
  const verdict = judgeVirtualService(virtualService(heavy), undefined, circumstances({ dryRun: true }))
  t.strictSame(said(verdict), [
    'warn virtualservice-destination-unknown spec.http[0].route[0].destination.host',
    'deny virtualservice-destination-port spec.http[0].route[1].destination.port',
  ])
  t.equal(verdict.outcomes[0]?.note, 'refused unless the missing object is applied first')
})

await t.test('in a namespace outside the mesh a VirtualService is warned about at most', async (t) => {
  const spec = { hosts: ['orders.shop.svc.cluster.local'], gateways: ['mesh'], http: [{ match: [{ port: 9 }] }] }
  t.strictSame(said(judgeVirtualService(virtualService(spec, 'plain'), undefined, circumstances())), [
    'warn virtualservice-host-foreign spec.hosts[0]',
    'warn virtualservice-match-port spec.http[0].match[0].port',
  ])
})

await t.test('a VirtualService that is none of our business has no finding, ever', async (t) => {
  const stories: [string, object][] = [
    [
      'ingress',
      { hosts: ['*'], gateways: ['istio-system/public'], http: [{ route: [{ destination: { host: 'a.b' } }] }] },
    ],
    ['a delegate', { http: [{ match: [{ port: 9 }], route: [{ destination: { host: 'nobody' } }] }] }],
    ['an ordinary Service’s, off the mesh', { hosts: ['front'], gateways: ['public'] }],
    ['a name without Service, off the mesh', { hosts: ['nobody'], gateways: ['public'] }],
  ]
  for (const [story, spec] of stories) {
    t.strictSame(said(judgeVirtualService(virtualService(spec), undefined, circumstances())), [], story)
  }
})

await t.test('actions are those of the policy: off is not looked at, audit is neither refused nor said', async (t) => {
  const ports = [{ name: 'web', port: 80 }]
  const policy = withActions({
    'service-port-80': { virtualHost: 'off' },
    'service-port-name': { virtualHost: 'audit' },
  })
  t.strictSame(said(judgeService(service(ports, address), undefined, circumstances({ policy }))), [
    'audit service-port-name spec.ports[0].name',
  ])
  const istiod = [{ name: 'http', port: 15012 }]
  t.strictSame(said(judgeService(service(istiod, address), undefined, circumstances())), [
    'warn service-reserved-port spec.ports[0].port',
  ])
  const audited = withActions({ 'service-reserved-port': { virtualHost: 'audit' } })
  t.strictSame(
    said(judgeService(service(istiod, address), undefined, circumstances({ policy: audited }))),
    ['audit service-reserved-port spec.ports[0].port'],
    'a finding that is a warning at most is no more than what is configured',
  )
})

await t.test('a rule that the policy does not name is off', async (t) => {
  const policy = { ...defaultPolicy, actions: new Map() }
  t.strictSame(said(judgeService(service([{ name: 'web', port: 80 }]), undefined, circumstances({ policy }))), [])
  const spec = { hosts: ['nobody'] }
  t.strictSame(said(judgeVirtualService(virtualService(spec), undefined, circumstances({ policy }))), [])
})

await t.test('in the dry run of a batch what contradicts another object is a warning as well', async (t) => {
  const spec = { hosts: ['orders.shop.svc.cluster.local'], gateways: ['mesh'], http: [{ match: [{ port: 3222 }] }] }
  const judged = (overrides: Partial<Circumstances>) => {
    const { outcomes } = judgeVirtualService(virtualService(spec), undefined, circumstances(overrides))
    return outcomes.map(({ action, note }) => [action, note])
  }
  const warned = [['warn', 'refused unless the other object is changed as well']]
  t.strictSame(judged({ dryRun: true, batch: true }), warned)
  t.strictSame(judged({ dryRun: true }), [['deny', undefined]])
  t.strictSame(judged({ batch: true }), [['deny', undefined]], 'applied for real it is refused')
  const dryRun = { ...defaultPolicy.dryRun, mismatch: 'warn' as const }
  t.strictSame(judged({ dryRun: true, policy: { ...defaultPolicy, dryRun } }), warned, 'for everyone, if so configured')
})

await t.test('in a dry run what is missing is refused, if so configured', async (t) => {
  const spec = { hosts: ['nobody'], gateways: ['mesh'] }
  const dryRun = { ...defaultPolicy.dryRun, missing: 'deny' as const }
  const strict = circumstances({ dryRun: true, policy: { ...defaultPolicy, dryRun } })
  t.strictSame(said(judgeVirtualService(virtualService(spec), undefined, strict)), [
    'deny virtualservice-host-unknown spec.hosts[0]',
  ])
})

await t.test('what is no denial anyway says nothing of the dry run, nor becomes more by it', async (t) => {
  const spec = {
    hosts: ['orders.shop.svc.cluster.local'],
    gateways: ['mesh'],
    http: [{ delegate: { name: 'nobody' } }],
  }
  const judged = (policy = defaultPolicy) =>
    judgeVirtualService(virtualService(spec), undefined, circumstances({ dryRun: true, policy })).outcomes.map(
      ({ action, rule, note }) => [action, rule, note],
    )
  const rule = 'virtualservice-delegate-unknown'
  t.strictSame(judged(), [['warn', rule, undefined]])
  t.strictSame(judged(withActions({ [rule]: { virtualHost: 'audit' } })), [['audit', rule, undefined]])
})

await t.test('a VirtualService is no virtual host, whatever it serves', async (t) => {
  const spec = { hosts: ['orders.shop.svc.cluster.local'], gateways: ['mesh'] }
  t.match(judgeVirtualService(virtualService(spec), undefined, circumstances()), {
    isVirtualHost: false,
    inferred: false,
  })
})

await t.test('a mesh that is left out now is refused, and one that was left out before is warned of', async (t) => {
  const hosts = ['orders.shop.svc.cluster.local']
  const http = [{ route: [{ destination: { host: 'front.shop.svc.cluster.local', port: { number: 80 } } }] }]
  const absent = virtualService({ hosts, http })
  const others = virtualService({ hosts, http, gateways: ['istio-system/public'] })
  const judged = (after: typeof absent, before: typeof absent) =>
    said(judgeVirtualService(after, before, circumstances()))
  t.strictSame(judged(others, absent), ['deny virtualservice-mesh-gateway spec.gateways'])
  t.strictSame(judged(absent, absent), ['warn virtualservice-mesh-gateway spec.gateways'])
  t.strictSame(judged(others, others), ['warn virtualservice-mesh-gateway spec.gateways'])
  const [ab, ba] = [
    ['a', 'b'],
    ['b', 'a'],
  ].map((gateways) => virtualService({ hosts, http, gateways })) as [typeof absent, typeof absent]
  t.strictSame(judged(ab, ba), ['warn virtualservice-mesh-gateway spec.gateways'], 'their order says nothing')
  t.strictSame(
    judged(ab, others),
    ['warn virtualservice-mesh-gateway spec.gateways'],
    'which others are listed neither',
  )
})

await t.test('in a namespace that a selector matches a rule may have another action', async (t) => {
  const overrides = (...namespaceActions: Policy['namespaceActions']) =>
    circumstances({ policy: { ...defaultPolicy, namespaceActions } })
  const mesh = { matchLabels: { 'istio-injection': 'enabled' } }
  const warn = { selector: mesh, actions: new Map([['service-port-80', { virtualHost: 'warn' as const }]]) }
  const off = {
    selector: {},
    actions: new Map([['service-port-80', { virtualHost: 'off' as const, other: 'deny' as const }]]),
  }
  const elsewhere = { ...off, selector: { matchLabels: { team: 'other' } } }
  const bad = service([{ name: 'http', port: 80 }], address)
  const judged = (given: Circumstances) => said(judgeService(bad, undefined, given))
  t.strictSame(judged(overrides(warn)), ['warn service-port-80 spec.ports[0].port'])
  t.strictSame(judged(overrides(elsewhere)), ['deny service-port-80 spec.ports[0].port'])
  t.strictSame(judged(overrides(off, warn)), [], 'the first that names the rule counts')
  t.strictSame(judged(overrides(elsewhere, warn)), ['warn service-port-80 spec.ports[0].port'])
  const ordinary = service([{ name: 'http', port: 80 }], { selector: { app: 'a' } })
  t.strictSame(
    said(judgeService(ordinary, undefined, overrides(warn, off))),
    ['deny service-port-80 spec.ports[0].port'],
    'a column that an entry does not name is the next one’s',
  )
})

await t.test('with enforcement audit everything is admitted and recorded', async (t) => {
  const policy = { ...defaultPolicy, enforcement: 'audit' as const }
  const verdict = judgeService(service([{ name: 'web', port: 80 }], address), undefined, circumstances({ policy }))
  t.strictSame(said(verdict), [
    'audit service-port-name spec.ports[0].name',
    'audit service-port-80 spec.ports[0].port',
  ])
})

await t.test('what the owners exempt is let pass, with the reason, until the day', async (t) => {
  const exempted = (exemption: object, rule = 'service-port-80') => {
    const { exemptions } = loadPolicy(
      JSON.stringify({ exemptions: [{ rules: [rule], reason: 'moving', ...exemption }] }),
      'x',
    )
    const given = circumstances({ policy: { ...defaultPolicy, exemptions } })
    const { outcomes } = judgeService(service([{ name: 'http', port: 80 }], address), undefined, given)
    return outcomes.map(({ action, note }) => `${action} ${note}`)
  }
  t.strictSame(exempted({}), ['warn exempted: moving'])
  t.strictSame(exempted({}, 'service-*'), ['warn exempted: moving'])
  t.strictSame(exempted({}, 'virtualservice-*'), ['deny undefined'])
  t.strictSame(exempted({ namespaces: ['sh*'], names: ['inv*ces'] }), ['warn exempted: moving'])
  t.strictSame(exempted({ namespaces: ['payments', 'shop-*'] }), ['deny undefined'])
  t.strictSame(exempted({ names: ['orders'] }), ['deny undefined'])
  t.strictSame(exempted({ expires: '2026-03-02' }), ['warn exempted until 2026-03-02: moving'])
  t.strictSame(exempted({ expires: '2026-03-01' }), ['deny undefined'], 'no more on the day itself')
  const midnight = new Date('2026-03-02T00:00:00Z')
  const ending = loadPolicy(
    JSON.stringify({ exemptions: [{ rules: ['service-port-80'], reason: 'moving', expires: '2026-03-02' }] }),
    'x',
  ).exemptions
  const lapsed = circumstances({ policy: { ...defaultPolicy, exemptions: ending }, now: midnight })
  t.strictSame(
    judgeService(service([{ name: 'http', port: 80 }], address), undefined, lapsed).outcomes.map(({ note }) => note),
    [undefined],
    'nor at the first moment of it',
  )
  const [first, second] = ['first', 'second'].map((reason) => ({ rules: ['service-port-80'], reason }))
  const { exemptions } = loadPolicy(JSON.stringify({ exemptions: [first, second] }), 'x')
  const given = circumstances({ policy: { ...defaultPolicy, exemptions } })
  t.equal(
    judgeService(service([{ name: 'http', port: 80 }], address), undefined, given).outcomes[0]?.note,
    'exempted: first',
    'of several the first is named',
  )
})

await t.test('the same thing in another spelling or place is what it was before', async (t) => {
  const rules = [...defaultPolicy.actions.keys()]
  const policy = withActions(Object.fromEntries(rules.map((rule) => [rule, { virtualHost: 'deny', other: 'deny' }])))
  const view = fixtureStore(
    parseManifests(
      `${cluster}
---
{ apiVersion: v1, kind: Namespace, metadata: { name: payments, labels: { istio-injection: enabled } } }
---
{ apiVersion: v1, kind: Service, metadata: { name: ledger, namespace: payments }, spec: { ports: [{ name: http, port: 3111 }] } }
`,
      'cluster.yaml',
    ),
  )
  const judged = (rule: string, before: string[], after: string[]) => {
    const of = (hosts: string[]) => virtualService({ hosts, gateways: ['mesh'] })
    const { outcomes } = judgeVirtualService(of(after), of(before), circumstances({ policy, view }))
    return outcomes.flatMap((one) => (one.rule === rule ? [`${one.action} ${one.field}`] : []))
  }
  const orders = 'orders.shop.svc.cluster.local'
  const rows: [rule: string, host: string][] = [
    ['virtualservice-host-foreign', 'ledger.payments.svc.cluster.local'],
    ['virtualservice-host-unknown', 'nobody.shop.svc.cluster.local'],
    ['virtualservice-host-form', 'nobody.shop.svc'],
  ]
  for (const [rule, host] of rows) {
    const [upper, others] = [host.toUpperCase(), [orders, `x-${host}`]]
    t.strictSame(judged(rule, [host], [orders, host]), ['warn spec.hosts[1]'], `${rule} in another place`)
    t.strictSame(judged(rule, [host], [orders, upper]), ['warn spec.hosts[1]'], `${rule} in another spelling`)
    t.strictSame(judged(rule, others, [host]), ['deny spec.hosts[0]'], `${rule} of another host`)
  }
})

await t.test('what was a mere warning for an ordinary Service does not let a virtual host pass', async (t) => {
  const before = service([{ name: 'web', port: 8080 }], { ...address, selector: { app: 'a' } })
  const after = service([{ name: 'web', port: 8080 }], address)
  t.strictSame(said(judgeService(after, before, circumstances())), ['deny service-port-name spec.ports[0].name'])
})

await t.test(
  'what can have no address is told why, beside all else that is wrong, and not that it has none',
  async (t) => {
    const labels = { 'meshvip.dev/virtual-host': 'true' }
    const judged = (spec: object, before?: object) =>
      said(
        judgeService(
          service([{ name: 'http', port: 80 }], spec, 'shop', labels),
          before === undefined ? undefined : service([{ name: 'http', port: 8080 }], before, 'shop', labels),
          circumstances(),
        ),
      )
    t.strictSame(judged({ type: 'NodePort' }), [
      'deny service-port-80 spec.ports[0].port',
      'deny service-type spec.type',
    ])
    t.strictSame(
      judged({ type: 'NodePort' }, { type: 'NodePort' }),
      ['deny service-port-80 spec.ports[0].port', 'warn service-type spec.type'],
      'which it may have been before',
    )
    t.strictSame(
      judged({ type: 'NodePort' }, { type: 'LoadBalancer' }),
      ['deny service-port-80 spec.ports[0].port', 'deny service-type spec.type'],
      'but not another type',
    )
    const policy = withActions({ 'service-type': { virtualHost: 'off' } })
    t.strictSame(
      said(
        judgeService(
          service([{ name: 'http', port: 8080 }], { type: 'NodePort' }, 'shop', labels),
          undefined,
          circumstances({ policy }),
        ),
      ),
      [],
      'where that is allowed, nobody misses an address that it cannot have',
    )
  },
)

await t.test('what is for virtual hosts alone is not said of others, whatever is configured', async (t) => {
  const rules = ['service-type', 'service-headless', 'service-selector', 'service-gateway-label', 'service-vip-missing']
  const policy = withActions(Object.fromEntries(rules.map((rule) => [rule, { virtualHost: 'warn', other: 'warn' }])))
  const judged = (labels: object, spec: object) =>
    judgeService(
      service([{ name: 'http', port: 8080 }], { selector: { app: 'a' }, ...spec }, 'shop', labels),
      undefined,
      circumstances({ policy }),
    ).outcomes.map(({ rule }) => rule)
  const network = { 'topology.istio.io/network': 'north' }
  const labelled = { ...network, 'meshvip.dev/virtual-host': 'true' }
  const [typed, headless] = [{ type: 'LoadBalancer' }, { clusterIP: 'None' }]
  t.strictSame([...judged(network, typed), ...judged(network, headless), ...judged(network, {})], [])
  t.strictSame(
    [...new Set([...judged(labelled, typed), ...judged(labelled, headless), ...judged(labelled, {})])].sort(),
    rules.sort(),
  )
})

await t.test('in a dry run a host that is not there yet says nothing about the gateways', async (t) => {
  const verdict = judgeVirtualService(
    virtualService({ hosts: ['web', 'web.shop.svc'] }),
    undefined,
    circumstances({ dryRun: true }),
  )
  t.strictSame(said(verdict), [
    'warn virtualservice-mesh-gateway spec.gateways',
    'warn virtualservice-host-unknown spec.hosts[0]',
    'warn virtualservice-host-form spec.hosts[1]',
  ])
})

await t.test('ten thousand hosts over many Services are judged in their number', async (t) => {
  const view = fixtureStore(parseManifests(cluster, 'cluster.yaml'))
  for (let index = 0; index < 1000; index++) {
    view.put({
      kind: 'Service',
      object: { ...service([{ name: 'http', port: 8080 }], { selector: { a: 'b' } }), name: `s-${index}` },
    })
  }
  const started = performance.now()
  const hosts = Array.from({ length: 10_000 }, () => '*.local')
  judgeVirtualService(virtualService({ hosts, gateways: ['mesh'], http: [{}] }), undefined, circumstances({ view }))
  // Each host by each Service it would be tens of millions of looks, and a gigabyte.
  t.ok(performance.now() - started < 5_000)
})
